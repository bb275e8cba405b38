/** The forks of one scope whose work has not settled: a doubly linked list, since forks come and go with every request. */
import type { RunningFork } from "./fork.ts";

/** Forks in the order of their start. */
export class RunningForks {
  #first: RunningFork | undefined;
  #last: RunningFork | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** All of them, as they are now. */
  all(): RunningFork[] {
    const forks: RunningFork[] = [];
    for (let fork = this.#first; fork !== undefined; fork = fork.later) forks.push(fork);
    return forks;
  }

  /** Joins at the end. */
  add(fork: RunningFork): void {
    fork.earlier = this.#last;
    if (this.#last === undefined) this.#first = fork;
    else this.#last.later = fork;
    this.#last = fork;
    this.#size += 1;
  }

  /** Leaves. The fork must be in this list. */
  remove(fork: RunningFork): void {
    const { earlier, later } = fork;
    if (earlier === undefined) this.#first = later;
    else earlier.later = later;
    if (later === undefined) this.#last = earlier;
    else later.earlier = earlier;
    fork.earlier = undefined;
    fork.later = undefined;
    this.#size -= 1;
  }
}
