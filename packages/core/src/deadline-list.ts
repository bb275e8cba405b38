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

class Node implements DeadlineEntry {
  previous: Node | undefined;
  next: Node | undefined;
  list: DeadlineList | undefined;
  readonly atMs: number;
  readonly onDeadline: () => void;

  constructor(list: DeadlineList, atMs: number, onDeadline: () => void) {
    this.list = list;
    this.atMs = atMs;
    this.onDeadline = onDeadline;
  }

  cancel(): void {
    this.list?.remove(this);
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
  #first: Node | undefined;
  #last: Node | undefined;
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
    const node = new Node(this, startMs + this.#durationMs, onDeadline);
    // Starts come in order but for a few that were taken earlier, so the place is at the end or a step away.
    let before = this.#last;
    while (before !== undefined && before.atMs > node.atMs) before = before.previous;
    const after = before === undefined ? this.#first : before.next;
    node.previous = before;
    node.next = after;
    if (before === undefined) this.#first = node;
    else before.next = node;
    if (after === undefined) this.#last = node;
    else after.previous = node;
    if (node.atMs < this.#timerAtMs) this.#arm(node.atMs);
    return node;
  }

  /** Takes an entry out of the list. */
  remove(node: Node): void {
    if (node.list !== this) return;
    this.#unlink(node);
    if (this.#first === undefined && !this.#keepTimer && this.#timer !== undefined) {
      this.#disarm();
      this.#onIdle();
    }
  }

  #unlink(node: Node): void {
    node.list = undefined;
    if (node.previous === undefined) this.#first = node.next;
    else node.previous.next = node.next;
    if (node.next === undefined) this.#last = node.previous;
    else node.next.previous = node.previous;
    node.previous = undefined;
    node.next = undefined;
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
      while (this.#first !== undefined && this.#first.atMs <= nowMs) {
        const node = this.#first;
        this.#unlink(node);
        node.onDeadline();
      }
    } finally {
      const first = this.#first;
      if (first !== undefined) {
        if (first.atMs < this.#timerAtMs) this.#arm(first.atMs);
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
