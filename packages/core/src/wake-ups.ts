/**
 * Wake-up hints by publish/subscribe: one subscriber connection per client, shared by all primitives, sharded on a Cluster.
 *
 * A hint says "look now" and may be lost, doubled or late; whoever listens also looks by itself at a bounded interval. The duplicate of
 * the client is made with the first listener and closed with the last one. After a reconnect every listener is woken as soon as its
 * subscription stands again, since hints may have been missed.
 */
import { withoutAmbientDeadline } from "./ambient-deadline.ts";
import type { Clock } from "./clock.ts";
import { isCluster } from "./redis-like.ts";
import type { ClusterRedisLike, RedisLike, SingleRedisLike } from "./redis-like.ts";

/** Called with the hint's text, or with null after a reconnect: anything may have happened. */
export type WakeUpListener = (hint: string | null) => void;

/** Ends one listening. */
export interface WakeUpSubscription {
  close(): void;
}

/** While a subscription fails (no permission, say) it is tried again at this pace, doubling up to a minute. */
const retryMs = { min: 1_000, max: 60_000 };

/** How often the subscriber of a Cluster asks where the slots are: after a slot has moved, hints are missing for no longer than that. */
const slotsRefreshMs = 5_000;

/** The pause before the subscriber connects again, after so many failures in a row. */
const reconnectMs = (failures: number): number => Math.min(failures * 100, 2_000);

/** The subscriber of one client. */
export class WakeUps {
  readonly #redis: RedisLike;
  readonly #clock: Clock;
  /** Each listening is an object of its own, so that one listener may listen twice. */
  readonly #listeners = new Map<string, Set<{ readonly listener: WakeUpListener }>>();
  #subscriber: RedisLike | undefined;

  constructor(redis: RedisLike, clock: Clock) {
    this.#redis = redis;
    this.#clock = clock;
  }

  /** Listens to a channel. The subscription is made in the background; until it stands there are no hints. */
  listen(channel: string, listener: WakeUpListener): WakeUpSubscription {
    const entry = { listener };
    const known = this.#listeners.get(channel);
    if (known === undefined) {
      this.#listeners.set(channel, new Set([entry]));
      // The subscriber serves many: the deadline of whoever listens first is not theirs.
      withoutAmbientDeadline(() => this.#subscribe(channel));
    } else {
      known.add(entry);
    }
    return {
      close: () => {
        const current = this.#listeners.get(channel);
        if (current?.delete(entry) === true && current.size === 0) this.#unsubscribe(channel);
      },
    };
  }

  /** Ends all listening and closes the subscriber connection. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#disconnect();
  }

  #subscribe(channel: string, afterMs: number = retryMs.min): void {
    const subscriber = (this.#subscriber ??= this.#connect());
    const isWanted = (): boolean => this.#subscriber === subscriber && this.#listeners.has(channel);
    const retry = (): void => {
      if (isWanted()) this.#subscribe(channel, Math.min(afterMs * 2, retryMs.max));
    };
    command(subscriber, isCluster(subscriber) ? "ssubscribe" : "subscribe", channel).then(
      () => {
        if (isWanted()) this.#wake(channel, null);
      },
      () => {
        // Hints are optional: whoever listens looks by itself meanwhile.
        if (isWanted()) this.#clock.setTimer(retry, afterMs, true);
      },
    );
  }

  #unsubscribe(channel: string): void {
    this.#listeners.delete(channel);
    const subscriber = this.#subscriber;
    if (this.#listeners.size === 0) {
      this.#disconnect();
    } else if (subscriber !== undefined) {
      // A failure leaves a subscription that nobody listens to; it ends with the connection.
      command(subscriber, isCluster(subscriber) ? "sunsubscribe" : "unsubscribe", channel).catch(() => undefined);
    }
  }

  /** A connection that keeps trying, whatever the caller's client is told to do. */
  #connect(): RedisLike {
    const redis = this.#redis;
    const subscriber = isCluster(redis) ? duplicateCluster(redis) : duplicateSingle(redis);
    const onMessage = (channel: unknown, hint: unknown): void => this.#wake(String(channel), String(hint));
    subscriber.on("message", onMessage);
    subscriber.on("smessage", onMessage);
    if (isCluster(subscriber)) {
      // The client subscribes again by itself when slots move or a node is replaced, and then says so.
      for (const event of ["ready", "subscribersReady"]) subscriber.on(event, () => this.#wakeAll());
    } else {
      let isFirst = true;
      subscriber.on("ready", () => {
        // What was asked for before the first connection stands in the client's queue.
        if (!isFirst) for (const channel of this.#listeners.keys()) this.#subscribe(channel);
        isFirst = false;
      });
    }
    // The client reconnects by itself; hints are missing meanwhile, which the poll makes up for.
    subscriber.on("error", () => undefined);
    subscriber.on("end", () => this.#replace(subscriber));
    return subscriber;
  }

  #disconnect(): void {
    const subscriber = this.#subscriber;
    this.#subscriber = undefined;
    subscriber?.disconnect();
  }

  /** Makes a new subscriber for one that ended although nobody closed it, as one behind Sentinel can in the middle of a failover. */
  #replace(subscriber: RedisLike): void {
    if (this.#subscriber !== subscriber) return;
    this.#subscriber = undefined;
    const again = (): void => {
      if (this.#subscriber === undefined) for (const channel of this.#listeners.keys()) this.#subscribe(channel);
    };
    this.#clock.setTimer(again, retryMs.min, true);
  }

  #wakeAll(): void {
    for (const channel of this.#listeners.keys()) this.#wake(channel, null);
  }

  #wake(channel: string, hint: string | null): void {
    for (const { listener } of this.#listeners.get(channel) ?? []) {
      try {
        listener(hint);
      } catch (error) {
        // The others are woken all the same.
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    }
  }
}

/** Async, since a Cluster client that does not know its slots throws at once. */
async function command(subscriber: RedisLike, name: string, channel: string): Promise<void> {
  await subscriber.call(name, [channel]);
}

const subscriberOptions = {
  commandTimeout: undefined,
  socketTimeout: undefined,
  enableOfflineQueue: true,
  enableAutoPipelining: false,
  maxRetriesPerRequest: null,
};

function duplicateSingle(redis: SingleRedisLike): RedisLike {
  return redis.duplicate({
    ...subscriberOptions,
    autoResubscribe: false,
    lazyConnect: false,
    retryStrategy: reconnectMs,
  });
}

function duplicateCluster(redis: ClusterRedisLike): RedisLike {
  return redis.duplicate([], {
    shardedSubscribers: true,
    // A node that has not heard yet of a moved slot answers with the old map, and the client would not ask again by itself.
    slotsRefreshInterval: slotsRefreshMs,
    lazyConnect: false,
    enableOfflineQueue: true,
    clusterRetryStrategy: reconnectMs,
    // Lazy, so that only the nodes that serve a channel are connected to.
    redisOptions: { ...redis.options.redisOptions, ...subscriberOptions, lazyConnect: true },
  });
}
