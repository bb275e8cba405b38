/**
 * Where the waiters of one instance hear of hand-offs: one subscription per lock name, shared by all who wait for it here, and by no other
 * instance, so that a hand-off costs one message however many services wait (decision 063).
 *
 * A hint is "owner token", or "*" when everybody shall look. Hints may be lost; a waiter also looks by itself. A subscription
 * lingers after its last waiter, since a name that was contended will be again, and each new subscription costs a command and a look.
 */
import { deadlineListOf } from "@holdfast/core";
import type { Clock, DeadlineEntry, WakeUps, WakeUpSubscription } from "@holdfast/core";

/** One who waits. */
export interface Waiter {
  readonly owner: string;
  /** The last holder's release, or a waiter's poll, granted to this one. */
  onHandOff(token: number): void;
  /** Anything may have happened: look. */
  onHint(): void;
}

const lingerMs = 2_000;
/** Hand-offs kept for those who are not here yet. */
const earlyMax = 64;
const hintForm = /^(.+) (\d{16})$/su;

class Room {
  readonly waiters = new Map<string, Waiter>();
  subscription: WakeUpSubscription | undefined;
  lingering: DeadlineEntry | undefined;
  /** Hints have a connection of their own, so one may come before the answer that its owner waits. The oldest of them go first. */
  readonly #early = new Map<string, number>();
  #lookAtMs = -Infinity;

  /** `hint` is null after the subscription was made anew. */
  hear(hint: string | null, nowMs: number): void {
    const [, owner, token] = hintForm.exec(hint ?? "") ?? [];
    if (owner === undefined) {
      this.#lookAtMs = nowMs;
      for (const waiter of this.waiters.values()) waiter.onHint();
      return;
    }
    const waiter = this.waiters.get(owner);
    if (waiter !== undefined) {
      waiter.onHandOff(Number(token));
      return;
    }
    this.#early.set(owner, Number(token));
    const [oldest] = this.#early.keys();
    if (this.#early.size > earlyMax && oldest !== undefined) this.#early.delete(oldest);
  }

  /** Takes a waiter in, and tells it what it would have heard since it asked. */
  enter(waiter: Waiter, askedAtMs: number): void {
    this.waiters.set(waiter.owner, waiter);
    const token = this.#early.get(waiter.owner);
    this.#early.delete(waiter.owner);
    if (token !== undefined) waiter.onHandOff(token);
    else if (this.#lookAtMs >= askedAtMs) waiter.onHint();
  }
}

/** The waiters of one instance, by lock. */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #wakeUps: WakeUps;
  readonly #rooms = new Map<string, Room>();

  constructor(clock: Clock, wakeUps: WakeUps) {
    this.#clock = clock;
    this.#wakeUps = wakeUps;
  }

  /**
   * Takes a waiter in; hints on the channel reach it until it leaves, and those that came since it asked reach it now.
   * @param askedAtMs when the request was sent by which it waits, in monotonic milliseconds
   */
  enter(channel: string, waiter: Waiter, askedAtMs: number): void {
    let room = this.#rooms.get(channel);
    if (room === undefined) {
      const opened = new Room();
      this.#rooms.set(channel, opened);
      opened.subscription = this.#wakeUps.listen(channel, (hint) => opened.hear(hint, this.#clock.monotonicMs()));
      room = opened;
    }
    room.lingering?.cancel();
    room.lingering = undefined;
    room.enter(waiter, askedAtMs);
  }

  /** Lets a waiter go; one that is not there is ignored. */
  leave(channel: string, waiter: Waiter): void {
    const room = this.#rooms.get(channel);
    if (room === undefined || room.waiters.get(waiter.owner) !== waiter) return;
    room.waiters.delete(waiter.owner);
    if (room.waiters.size === 0) {
      room.lingering = deadlineListOf(this.#clock, lingerMs).add(() => this.#close(channel, room));
    }
  }

  /** Ends all subscriptions. */
  close(): void {
    for (const [channel, room] of this.#rooms) this.#close(channel, room);
  }

  #close(channel: string, room: Room): void {
    room.lingering?.cancel();
    room.subscription?.close();
    this.#rooms.delete(channel);
  }
}
