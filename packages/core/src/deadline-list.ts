/**
 * Many deadlines of the same length on one timer. They end in the order in which they began, so that a list is enough: adding and
 * removing take constant time, and the timer is armed again only when it fires.
 */
import { withoutAmbientDeadline } from "./ambient-deadline.ts";
import type { Clock, TimerHandle } from "./clock.ts";

/** One deadline in a list. */
export interface DeadlineEntry {
  /** Disarms it. Safe to call at any time and more than once. */
  cancel(): void;
}

/**
 * What lies in a list. Whoever has thousands of them at a time, or one for each call, makes his own objects deadlines: nothing is
 * allocated for them then, and an object that was taken out can be put in again. The fields belong to the list.
 */
export abstract class Deadline implements DeadlineEntry {
  earlier: Deadline | undefined = undefined;
  later: Deadline | undefined = undefined;
  list: DeadlineList | undefined = undefined;
  /** On the clock's monotonic scale. */
  dueAtMs = 0;

  /** Runs on the event loop once the time has come, late when the loop was blocked; it is out of the list then. */
  abstract onDeadline(): void;

  cancel(): void {
    this.list?.remove(this);
  }
}

class CallbackDeadline extends Deadline {
  readonly #callback: () => void;

  constructor(callback: () => void) {
    super();
    this.#callback = callback;
  }

  onDeadline(): void {
    this.#callback();
  }
}

/**
 * An empty list of longer deadlines gives its timer back at once, for it would lie about for as long. For shorter ones, that come and go
 * with every command, it is cheaper to let the timer fire for nothing.
 */
const keepTimerMaxMs = 5_000;

/** Deadlines that all lie `durationMs` after their start. */
export class DeadlineList {
  readonly #clock: Clock;
  readonly #durationMs: number;
  #first: Deadline | undefined;
  #last: Deadline | undefined;
  #timer: TimerHandle | undefined;
  #timerAtMs = Infinity;
  readonly #onIdle: () => void;
  readonly #keepTimer: boolean;

  /**
   * @param durationMs the length of every deadline in the list
   * @param onIdle called when the list has neither a deadline nor a timer any more
   * @param keepTimer whether an emptied list leaves its timer to fire for nothing; by default when it fires within 5 s. For a list that
   *   is emptied and filled thousands of times a second
   */
  constructor(
    clock: Clock,
    durationMs: number,
    onIdle: () => void = () => undefined,
    keepTimer: boolean = durationMs <= keepTimerMaxMs,
  ) {
    this.#clock = clock;
    this.#durationMs = durationMs;
    this.#onIdle = onIdle;
    this.#keepTimer = keepTimer;
  }

  /**
   * Calls back once when the duration has passed since `startMs`.
   * @param onDeadline runs on the event loop, late when the loop was blocked
   * @param startMs monotonic milliseconds; in order, or nearly so
   */
  add(onDeadline: () => void, startMs: number = this.#clock.monotonicMs()): DeadlineEntry {
    const deadline = new CallbackDeadline(onDeadline);
    this.start(deadline, startMs);
    return deadline;
  }

  /**
   * As `add`, with an object of the caller's; out of the list that it may be in, into this one.
   * @param startMs monotonic milliseconds; in order, or nearly so
   */
  start(deadline: Deadline, startMs: number): void {
    deadline.cancel();
    const dueAtMs = startMs + this.#durationMs;
    deadline.dueAtMs = dueAtMs;
    deadline.list = this;
    // Starts come in order but for a few that were taken earlier, so the place is at the end or a step away.
    let before = this.#last;
    while (before !== undefined && before.dueAtMs > dueAtMs) before = before.earlier;
    const after = before === undefined ? this.#first : before.later;
    deadline.earlier = before;
    deadline.later = after;
    if (before === undefined) this.#first = deadline;
    else before.later = deadline;
    if (after === undefined) this.#last = deadline;
    else after.earlier = deadline;
    if (dueAtMs < this.#timerAtMs) this.#arm(dueAtMs);
  }

  /** Takes a deadline out of the list. */
  remove(deadline: Deadline): void {
    if (deadline.list !== this) return;
    this.#unlink(deadline);
    if (this.#first === undefined && !this.#keepTimer && this.#timer !== undefined) {
      this.#disarm();
      this.#onIdle();
    }
  }

  #unlink(deadline: Deadline): void {
    const { earlier, later } = deadline;
    deadline.list = undefined;
    if (earlier === undefined) this.#first = later;
    else earlier.later = later;
    if (later === undefined) this.#last = earlier;
    else later.earlier = earlier;
    deadline.earlier = undefined;
    deadline.later = undefined;
  }

  #arm(atMs: number): void {
    this.#disarm();
    this.#timerAtMs = atMs;
    // The timer serves many: the deadline of whoever happened to arm it is not theirs.
    this.#timer = withoutAmbientDeadline(() =>
      this.#clock.setTimer(() => this.#fire(), atMs - this.#clock.monotonicMs(), true),
    );
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
  }

  #fire(): void {
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    const nowMs = this.#clock.monotonicMs();
    try {
      while (this.#first !== undefined && this.#first.dueAtMs <= nowMs) {
        const deadline = this.#first;
        this.#unlink(deadline);
        deadline.onDeadline();
      }
    } finally {
      const first = this.#first;
      if (first !== undefined) {
        if (first.dueAtMs < this.#timerAtMs) this.#arm(first.dueAtMs);
      } else if (this.#timer === undefined) {
        this.#onIdle();
      }
    }
  }
}

const lists = new WeakMap<Clock, Map<number, DeadlineList>>();

/** The list that all users of a clock share for one duration, in milliseconds. */
export function deadlineListOf(clock: Clock, durationMs: number): DeadlineList {
  let ofClock = lists.get(clock);
  if (ofClock === undefined) {
    ofClock = new Map();
    lists.set(clock, ofClock);
  }
  const known = ofClock.get(durationMs);
  if (known !== undefined) return known;
  const ofDuration = ofClock;
  const list = new DeadlineList(clock, durationMs, () => {
    if (ofDuration.get(durationMs) === list) ofDuration.delete(durationMs);
  });
  ofClock.set(durationMs, list);
  return list;
}
