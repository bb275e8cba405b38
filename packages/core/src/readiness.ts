/** Waits until a client can send, so that a call never sits in the client's offline queue after its caller has given up. */
import type { Clock } from "./clock.ts";
import { RedisUnavailableError } from "./errors.ts";
import type { RedisLike } from "./redis-like.ts";

/**
 * Resolves when the client is ready.
 * @param giveUpAtMs monotonic milliseconds
 * @throws RedisUnavailableError with the client's last connection error as its cause
 */
export function whenReady(redis: RedisLike, clock: Clock, giveUpAtMs: number, operation: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let lastError: unknown;
    const finish = (settle: () => void): void => {
      clock.clearTimer(timer);
      redis.off("ready", onReady);
      redis.off("end", onEnd);
      redis.off("error", onError);
      settle();
    };
    const fail = (why: string): void =>
      finish(() => reject(new RedisUnavailableError(operation, "UNREACHABLE", why, { cause: lastError })));
    const onReady = (): void => finish(resolve);
    const onEnd = (): void => fail("the client is closed; connect it or make a new one");
    const onError = (error: unknown): void => {
      lastError = error;
    };
    const timer = clock.setTimer(() => {
      const detail = lastError instanceof Error && lastError.message !== "" ? ` (${lastError.message})` : "";
      fail(`the client is ${redis.status}${detail}; check the address and the network`);
    }, giveUpAtMs - clock.monotonicMs());
    if (redis.status === "end") {
      onEnd();
      return;
    }
    redis.on("ready", onReady);
    redis.on("end", onEnd);
    redis.on("error", onError);
    // A client made with lazyConnect waits for its first command; this is it. A failure to connect arrives as an event.
    if (redis.status === "wait") redis.connect().catch(onError);
  });
}
