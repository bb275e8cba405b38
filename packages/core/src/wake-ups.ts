/**
 * Wake-up hints by publish/subscribe: one subscriber connection per client, or per master on a Cluster, shared by all primitives.
 *
 * A hint says "look now" and may be lost, doubled or late; whoever listens also looks by itself at a bounded interval. A subscriber is made
 * with its first channel and closed with the last one. After a reconnect every listener is woken as soon as its subscription stands again,
 * since hints may have been missed.
 *
 * On a Cluster a channel is heard only from the master of its slot, which drops the subscription when the slot leaves it. So whatever
 * happens to a subscriber makes us ask where the slots are, and its channels are asked for again; besides, that is looked at now and then.
 */
import { withoutAmbientDeadline } from "./ambient-deadline.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { refreshSlots } from "./cluster-nodes.ts";
import { isCluster } from "./redis-like.ts";
import type { RedisLike } from "./redis-like.ts";
import { placeOf, subscriberAt } from "./subscriber.ts";
import type { Subscriber } from "./subscriber.ts";
import { warn } from "./thrown.ts";

/** Called with the hint's text, or with null after a reconnect: anything may have happened. */
export type WakeUpListener = (hint: string | null) => void;

/** Ends one listening. */
export interface WakeUpSubscription {
  close(): void;
}

/** While a subscription fails (no permission, say) it is tried again at this pace, doubling up to a minute. */
const retryMs = { min: 1_000, max: 60_000 };

/** After a slot has moved unnoticed, hints are missing for no longer than that. */
const slotsLookMs = 5_000;
/** A master that loses slots says so for each channel; one look is enough, and no more than one a second. */
const slotsLookSoonMs = { delay: 100, pause: 1_000 };

/** The subscribers of one client. */
export class WakeUps {
  readonly #redis: RedisLike;
  readonly #clock: Clock;
  /** Each listening is an object of its own, so that one listener may listen twice. */
  readonly #listeners = new Map<string, Set<{ readonly listener: WakeUpListener }>>();
  readonly #subscribers = new Map<string, Subscriber>();
  /** Of whom each channel was asked. */
  readonly #asked = new Map<string, Subscriber>();
  /** Subscribers that may have dropped channels. */
  readonly #doubted = new Set<Subscriber>();
  #look: { readonly timer: TimerHandle; readonly atMs: number } | undefined;
  #lookedAtMs = -Infinity;
  readonly #onReady = (): void => this.#lookIn(0);

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
      withoutAmbientDeadline(() => {
        if (this.#listeners.size === 1) this.#watchSlots();
        this.#subscribe(channel);
      });
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

  /** Ends all listening and closes the subscriber connections. */
  async close(): Promise<void> {
    for (const channel of this.#listeners.keys()) {
      this.#listeners.delete(channel);
      this.#ask(channel, undefined);
    }
    this.#unwatchSlots();
  }

  #subscribe(channel: string, afterMs: number = retryMs.min): void {
    const subscriber = this.#subscriberOf(channel);
    this.#ask(channel, subscriber);
    const isWanted = (): boolean => this.#listeners.has(channel) && this.#asked.get(channel) === subscriber;
    const retryIn = (delayMs: number, nextMs: number): void => {
      const retry = (): void => {
        if (isWanted()) this.#subscribe(channel, nextMs);
      };
      this.#clock.setTimer(retry, delayMs, true);
    };
    if (subscriber === undefined) {
      retryIn(retryMs.min, retryMs.min);
      return;
    }
    command(subscriber, isCluster(this.#redis) ? "ssubscribe" : "subscribe", channel).then(
      () => {
        if (isWanted()) this.#wake(channel, null);
      },
      (error: unknown) => {
        // Hints are optional: whoever listens looks by itself meanwhile.
        if (!isWanted()) return;
        if (!isMoved(error)) {
          retryIn(afterMs, Math.min(afterMs * 2, retryMs.max));
          return;
        }
        this.#lookSoon();
        retryIn(retryMs.min, retryMs.min);
      },
    );
  }

  #unsubscribe(channel: string): void {
    this.#listeners.delete(channel);
    const subscriber = this.#asked.get(channel);
    this.#ask(channel, undefined);
    if (this.#listeners.size === 0) this.#unwatchSlots();
    if (subscriber !== undefined && subscriber.channels.size > 0) {
      // A failure leaves a subscription that nobody listens to; it ends with the connection.
      command(subscriber, isCluster(this.#redis) ? "sunsubscribe" : "unsubscribe", channel).catch(() => undefined);
    }
  }

  /** Notes of whom a channel is asked. A subscriber of whom nothing is asked any more is closed. */
  #ask(channel: string, subscriber: Subscriber | undefined): void {
    const before = this.#asked.get(channel);
    if (before === subscriber) return;
    if (subscriber === undefined) {
      this.#asked.delete(channel);
    } else {
      this.#asked.set(channel, subscriber);
      subscriber.channels.add(channel);
    }
    if (before?.channels.delete(channel) !== true || before.channels.size > 0) return;
    if (this.#subscribers.get(before.place) === before) this.#subscribers.delete(before.place);
    before.client.disconnect();
  }

  #subscriberOf(channel: string): Subscriber | undefined {
    const place = placeOf(this.#redis, channel);
    if (place === undefined) return undefined;
    const known = this.#subscribers.get(place);
    if (known !== undefined) return known;
    const subscriber = subscriberAt(this.#redis, place);
    if (subscriber === undefined) return undefined;
    this.#subscribers.set(place, subscriber);
    this.#attend(subscriber);
    return subscriber;
  }

  #attend(subscriber: Subscriber): void {
    const { client } = subscriber;
    const onMessage = (channel: unknown, hint: unknown): void => this.#wake(String(channel), String(hint));
    client.on("message", onMessage);
    client.on("smessage", onMessage);
    let isFirst = true;
    client.on("ready", () => {
      // What was asked for before the first connection stands in the client's queue.
      if (!isFirst) for (const channel of subscriber.channels) this.#subscribe(channel);
      isFirst = false;
    });
    // The client reconnects by itself; hints are missing meanwhile, which the poll makes up for.
    client.on("error", () => undefined);
    // A master that has lost a slot drops its channels: ioredis 6 says so by "moved", ioredis 5 by an error about a reply that it did not expect.
    for (const event of isCluster(this.#redis) ? ["error", "moved", "close"] : []) {
      client.on(event, () => {
        this.#doubted.add(subscriber);
        this.#lookSoon();
      });
    }
    client.on("end", () => this.#replace(subscriber));
  }

  /** Makes a new subscriber for one that ended although nobody closed it, as one behind Sentinel can in the middle of a failover. */
  #replace(subscriber: Subscriber): void {
    if (this.#subscribers.get(subscriber.place) !== subscriber) return;
    this.#subscribers.delete(subscriber.place);
    const again = (): void => {
      for (const channel of subscriber.channels) this.#subscribe(channel);
    };
    this.#clock.setTimer(again, retryMs.min, true);
  }

  #watchSlots(): void {
    const redis = this.#redis;
    if (!isCluster(redis)) return;
    redis.on("ready", this.#onReady);
    // A client made with lazyConnect waits for its first command, and does not know its slots until then. Its errors are events, too.
    if (redis.status === "wait") redis.connect().catch(() => undefined);
    this.#lookIn(slotsLookMs);
  }

  #unwatchSlots(): void {
    if (!isCluster(this.#redis)) return;
    this.#redis.off("ready", this.#onReady);
    if (this.#look !== undefined) this.#clock.clearTimer(this.#look.timer);
    this.#look = undefined;
    this.#doubted.clear();
  }

  #lookSoon(): void {
    const { delay, pause } = slotsLookSoonMs;
    this.#lookIn(Math.max(delay, this.#lookedAtMs + pause - this.#clock.monotonicMs()));
  }

  #lookIn(delayMs: number): void {
    const atMs = this.#clock.monotonicMs() + delayMs;
    if (!isCluster(this.#redis) || this.#listeners.size === 0) return;
    if (this.#look !== undefined) {
      if (this.#look.atMs <= atMs) return;
      this.#clock.clearTimer(this.#look.timer);
    }
    const timer = this.#clock.setTimer(() => withoutAmbientDeadline(() => void this.#lookAtSlots()), delayMs, true);
    this.#look = { timer, atMs };
  }

  /** Asks for channels again that are served elsewhere by now, or that may have been dropped. */
  async #lookAtSlots(): Promise<void> {
    const redis = this.#redis;
    this.#look = undefined;
    this.#lookedAtMs = this.#clock.monotonicMs();
    this.#lookIn(slotsLookMs);
    const doubted = new Set(this.#doubted);
    this.#doubted.clear();
    if (isCluster(redis)) await refreshSlots(redis);
    for (const channel of this.#listeners.keys()) {
      const subscriber = this.#asked.get(channel);
      const place = placeOf(redis, channel);
      // One that is not connected asks for all its channels as soon as it is.
      const isDropped = subscriber !== undefined && doubted.has(subscriber) && subscriber.client.status === "ready";
      if (place !== undefined && (place !== subscriber?.place || isDropped)) this.#subscribe(channel);
    }
  }

  #wake(channel: string, hint: string | null): void {
    for (const { listener } of this.#listeners.get(channel) ?? []) {
      try {
        listener(hint);
      } catch (error) {
        // The others are woken all the same.
        warn(error);
      }
    }
  }
}

/** Async, so that a client that throws at once is heard like one that rejects. */
async function command({ client }: Subscriber, name: string, channel: string): Promise<void> {
  await client.call(name, [channel]);
}

function isMoved(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("MOVED ");
}
