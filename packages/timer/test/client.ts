/** Clients and timers of one test, closed in the end whatever happens. */
import { Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
import type { RedisServer } from "@holdfast/testkit";
import { DurableTimer } from "../src/index.ts";
import type { Firing, TimerEvent, TimerOptions } from "../src/index.ts";

/** For calls that have to succeed: a starved machine may stand still for seconds in the middle of one. */
export const patientMs = 20_000;

/** What a test opens; `await using` closes it. */
export class Desk implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = [];
  readonly events: TimerEvent[] = [];

  /** A client. */
  redis(url: string, options: RedisOptions = {}): Redis {
    const { hostname, port } = new URL(url);
    const redis = new Redis({ host: hostname, port: Number(port), ...options, replyMapping: "legacy" });
    // Each failure reaches the test through its call.
    redis.on("error", () => undefined);
    this.#closers.push(() => redis.disconnect());
    return redis;
  }

  /** A timer on a client of its own; its events are collected. */
  timer<Payload = undefined>(
    url: string,
    name = "timeouts",
    options: TimerOptions<Payload> = {},
  ): DurableTimer<Payload> {
    return this.timerOn(this.redis(url), name, options);
  }

  /** A timer on a client that is there already. Its calls are patient unless it is told otherwise. */
  timerOn<Payload = undefined>(redis: Redis, name: string, options: TimerOptions<Payload> = {}): DurableTimer<Payload> {
    const timer = new DurableTimer<Payload>(redis, name, {
      onEvent: (event) => this.events.push(event),
      commandTimeoutMs: patientMs,
      ...options,
    });
    this.#closers.push(() => timer.close());
    return timer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
  }
}

/** Collects firings and lets a test wait for a number of them. */
export class Catcher<Payload = unknown> {
  readonly firings: Firing<Payload>[] = [];
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  readonly handle = (firing: Firing<Payload>): void => {
    this.firings.push(firing);
    for (const waiter of this.#waiters) if (this.firings.length >= waiter.count) waiter.resolve();
  };

  get ids(): string[] {
    return this.firings.map((firing) => firing.id);
  }

  /** Resolves when so many have come. */
  async caught(count: number): Promise<Firing<Payload>[]> {
    if (this.firings.length < count) {
      await new Promise<void>((resolve) => {
        this.#waiters.push({ count, resolve });
      });
    }
    return this.firings;
  }
}

let names = 0;

/** A timer name that no other test has. */
export function freshName(): string {
  names += 1;
  return `timer-${names}`;
}

/** What a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    (value) => new TypeError(`resolved with ${JSON.stringify(value)}`),
    (error: unknown) => error as Error,
  );
  return outcome;
}

/** A promise and its resolver, for handlers that wait until the test lets them go. */
export class Gate {
  readonly #gate = Promise.withResolvers<void>();

  get opened(): Promise<void> {
    return this.#gate.promise;
  }

  open(): void {
    this.#gate.resolve();
  }
}

/** Timers without payload that are due after the same delay. */
export function many(count: number, afterMs = 0): { id: string; afterMs: number }[] {
  return Array.from({ length: count }, (_, index) => ({ id: `t${index}`, afterMs }));
}

/** Timers that carry their number. */
export function requests(count: number, afterMs: number): { id: string; afterMs: number; payload: { n: number } }[] {
  return Array.from({ length: count }, (_, n) => ({ id: `t${n}`, afterMs, payload: { n } }));
}

/** What time it is on a server, in epoch milliseconds. */
export async function serverTimeMs(server: RedisServer): Promise<number> {
  const [seconds, microseconds] = (await server.call("TIME")) as string[];
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}
