/**
 * Wake-up hints by publish/subscribe: one subscriber connection per client, shared by all primitives, sharded on a Cluster.
 *
 * A hint says "look now" and may be lost, doubled or late; whoever listens also looks by itself at a bounded interval. The duplicate of
 * the client is made with the first listener and closed with the last one. After a reconnect every listener is woken, since hints may
 * have been missed.
 */
import type { Clock } from "./clock.ts";
import { isCluster } from "./redis-like.ts";
import type { RedisLike } from "./redis-like.ts";

/** Called with the hint's text, or with null after a reconnect: anything may have happened. */
export type WakeUpListener = (hint: string | null) => void;

/** Ends one listening. */
export interface WakeUpSubscription {
  close(): void;
}

/** While a subscription fails it is tried again at this pace. */
const retryMs = 1_000;

/** The subscriber of one client. */
export class WakeUps {
  readonly #redis: RedisLike;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<WakeUpListener>>();
  #subscriber: RedisLike | undefined;

  constructor(redis: RedisLike, clock: Clock) {
    this.#redis = redis;
    this.#clock = clock;
  }

  /** Listens to a channel. The subscription is made in the background; until it stands there are no hints. */
  listen(channel: string, listener: WakeUpListener): WakeUpSubscription {
    let ofChannel = this.#listeners.get(channel);
    if (ofChannel === undefined) {
      ofChannel = new Set();
      this.#listeners.set(channel, ofChannel);
      this.#subscribe(channel);
    }
    ofChannel.add(listener);
    return {
      close: () => {
        const current = this.#listeners.get(channel);
        if (current?.delete(listener) === true && current.size === 0) this.#unsubscribe(channel);
      },
    };
  }

  /** Ends all listening and closes the subscriber connection. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#disconnect();
  }

  #subscribe(channel: string): void {
    const subscriber = (this.#subscriber ??= this.#connect());
    subscriber.call(isCluster(subscriber) ? "ssubscribe" : "subscribe", [channel]).then(
      () => this.#wake(channel, null),
      () => {
        // Hints are optional: whoever listens looks by itself meanwhile.
        this.#clock.setTimer(
          () => {
            if (this.#subscriber === subscriber && this.#listeners.has(channel)) this.#subscribe(channel);
          },
          retryMs,
          true,
        );
      },
    );
  }

  #unsubscribe(channel: string): void {
    this.#listeners.delete(channel);
    if (this.#listeners.size === 0) {
      this.#disconnect();
      return;
    }
    const subscriber = this.#subscriber;
    // A failure leaves a subscription that nobody listens to; it ends with the connection.
    subscriber?.call(isCluster(subscriber) ? "sunsubscribe" : "unsubscribe", [channel]).catch(() => undefined);
  }

  #connect(): RedisLike {
    const redis = this.#redis;
    const settings = { autoResubscribe: true, maxRetriesPerRequest: null, enableOfflineQueue: true, commandTimeout: undefined };
    const subscriber = isCluster(redis)
      ? redis.duplicate([], { shardedSubscribers: true })
      : redis.duplicate({ ...settings, lazyConnect: false });
    const onMessage = (channel: string, hint: string): void => this.#wake(channel, hint);
    subscriber.on("message", onMessage);
    subscriber.on("smessage", onMessage);
    subscriber.on("ready", () => {
      for (const channel of this.#listeners.keys()) this.#wake(channel, null);
    });
    // The client reconnects by itself; hints are missing meanwhile, which the poll makes up for.
    subscriber.on("error", () => undefined);
    return subscriber;
  }

  #disconnect(): void {
    this.#subscriber?.disconnect();
    this.#subscriber = undefined;
  }

  #wake(channel: string, hint: string | null): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(hint);
  }
}
