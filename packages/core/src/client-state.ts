/**
 * What is known of a client's connection: whether it can send now, and how often it was lost. One per client, with one listener per event
 * however many calls wait, so that the client never warns of a leak.
 *
 * Nothing goes to the client's offline queue: what waits there would be sent after its caller has given up.
 */
import { hearAsking } from "./asking.ts";
import type { Clock } from "./clock.ts";
import { RedisUnavailableError } from "./errors.ts";
import { isCluster } from "./redis-like.ts";
import type { RedisLike } from "./redis-like.ts";
import { handshakeErrorCode } from "./refusal.ts";

interface Waiter {
  readonly onReady: () => void;
  readonly onEnd: () => void;
}

/** The state of one client. */
export class ClientState {
  readonly #redis: RedisLike;
  readonly #waiters = new Set<Waiter>();
  readonly #onError = (error: unknown): void => {
    this.#lastError = error;
  };
  #epoch = 0;
  #isConnecting: boolean;
  #endedByItself = false;
  #lastError: unknown;

  private constructor(redis: RedisLike) {
    this.#redis = redis;
    this.#isConnecting = redis.status === "connecting";
    if (isCluster(redis)) hearAsking(redis);
    redis.on("ready", () => {
      for (const { onReady } of this.#waiters) onReady();
    });
    redis.on("connecting", () => {
      this.#isConnecting = true;
    });
    redis.on("end", () => {
      this.#endedByItself = this.#isConnecting && wasNotClosed(redis);
      for (const { onEnd } of this.#waiters) onEnd();
    });
    for (const event of ["close", "-node"]) {
      redis.on(event, () => {
        this.#epoch += 1;
        this.#isConnecting = false;
      });
    }
  }

  /** The state of a client, the same object for each caller. */
  static of(redis: RedisLike): ClientState {
    let state = states.get(redis);
    if (state === undefined) {
      state = new ClientState(redis);
      states.set(redis, state);
    }
    return state;
  }

  /**
   * Another number after each loss of a connection. When it changed between a request and its answer, the client may have sent the
   * request twice, and another server may have answered.
   */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether a command would go to a socket and not to the client's queue. */
  get canSend(): boolean {
    const { status, stream } = this.#redis as RedisLike & { readonly stream?: { readonly writable?: boolean } };
    return status === "ready" && stream?.writable !== false;
  }

  /**
   * Resolves when the client is ready.
   * @param giveUpAtMs monotonic milliseconds
   * @throws RedisUnavailableError with the client's last connection error as its cause
   */
  whenReady(clock: Clock, giveUpAtMs: number, operation: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clock.clearTimer(timer);
        this.#waiters.delete(waiter);
        if (this.#waiters.size === 0) this.#redis.off("error", this.#onError);
        settle();
      };
      const fail = (why: string): void => finish(() => reject(this.#unavailable(operation, why)));
      const waiter = {
        onReady: () => finish(resolve),
        onEnd: () => {
          if (this.#endedByItself) this.#connect();
          else fail("the client is closed; connect it or make a new one");
        },
      };
      const timer = clock.setTimer(() => {
        const last = this.#lastError;
        const detail = last instanceof Error && last.message !== "" ? ` (${last.message})` : "";
        fail(`the client is ${this.#redis.status}${detail}; check the address and the network`);
      }, giveUpAtMs - clock.monotonicMs());
      if (this.#redis.status === "end" && !this.#endedByItself) {
        waiter.onEnd();
        return;
      }
      // Only while somebody waits: a listener of ours would silence the client's own report of errors that nobody handles.
      if (this.#waiters.size === 0) {
        this.#lastError = undefined;
        this.#redis.on("error", this.#onError);
      }
      this.#waiters.add(waiter);
      // A client made with lazyConnect waits for its first command; this is it.
      this.#connect();
    });
  }

  /** A failure arrives as an event, too. */
  #connect(): void {
    const { status } = this.#redis;
    if (status === "wait" || status === "end") this.#redis.connect().catch(this.#onError);
  }

  #unavailable(operation: string, why: string): RedisUnavailableError {
    const cause = this.#lastError;
    return new RedisUnavailableError(operation, handshakeErrorCode(cause) ?? "UNREACHABLE", why, { cause });
  }
}

/**
 * A client behind Sentinel with `failoverDetector` ends for good when it hears of the failover while it connects anew (ioredis 5 and 6):
 * nobody closed it, and nothing would ever connect it again. Such a client is connected again by the next call.
 */
function wasNotClosed(redis: RedisLike): boolean {
  const { options, manuallyClosing } = redis as RedisLike & { readonly manuallyClosing?: boolean };
  return "sentinels" in options && Array.isArray(options.sentinels) && manuallyClosing === false;
}

const states = new WeakMap<RedisLike, ClientState>();
