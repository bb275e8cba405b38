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
const hintForm = /^(.+) (\d{16})$/su;

class Room {
  readonly waiters = new Map<string, Waiter>();
  subscription: WakeUpSubscription | undefined;
  lingering: DeadlineEntry | undefined;

  /** `hint` is null after the subscription was made anew. */
  hear(hint: string | null): void {
    const [, owner, token] = hintForm.exec(hint ?? "") ?? [];
    if (owner !== undefined) {
      this.waiters.get(owner)?.onHandOff(Number(token));
      return;
    }
    for (const waiter of this.waiters.values()) waiter.onHint();
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

  /** Takes a waiter in; hints on the channel reach it until it leaves. */
  enter(channel: string, waiter: Waiter): void {
    let room = this.#rooms.get(channel);
    if (room === undefined) {
      const opened = new Room();
      this.#rooms.set(channel, opened);
      opened.subscription = this.#wakeUps.listen(channel, (hint) => opened.hear(hint));
      room = opened;
    }
    room.lingering?.cancel();
    room.lingering = undefined;
    room.waiters.set(waiter.owner, waiter);
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
