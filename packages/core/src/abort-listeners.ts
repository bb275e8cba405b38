/**
 * Many listeners on one abort signal. A signal keeps its listeners in a list that it walks for each addition, so that 50,000 waiters on
 * the signal of a request or of a shutdown take minutes; here the signal has one listener while anybody waits, and none otherwise.
 */

/** One listening. */
export interface AbortRegistration {
  /** Ends it. Safe to call at any time and more than once. */
  cancel(): void;
}

class Listening implements AbortRegistration {
  readonly listener: () => void;
  readonly #group: Group;

  constructor(group: Group, listener: () => void) {
    this.#group = group;
    this.listener = listener;
  }

  cancel(): void {
    this.#group.remove(this);
  }
}

class Group {
  readonly #signal: AbortSignal;
  readonly #waiting = new Set<Listening>();
  readonly #onAbort = (): void => this.#fire();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(listener: () => void): AbortRegistration {
    const listening = new Listening(this, listener);
    if (this.#waiting.size === 0) this.#signal.addEventListener("abort", this.#onAbort);
    this.#waiting.add(listening);
    return listening;
  }

  remove(listening: Listening): void {
    if (this.#waiting.delete(listening) && this.#waiting.size === 0) {
      this.#signal.removeEventListener("abort", this.#onAbort);
    }
  }

  #fire(): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    for (const listening of this.#waiting) {
      this.#waiting.delete(listening);
      listening.listener();
    }
  }
}

const groups = new WeakMap<AbortSignal, Group>();
const never: AbortRegistration = { cancel: () => undefined };

/**
 * Calls back once, synchronously, when the signal aborts; not at all when it has aborted already, which the caller checks.
 * @param listener must not throw
 */
export function onAbort(signal: AbortSignal, listener: () => void): AbortRegistration {
  if (signal.aborted) return never;
  let group = groups.get(signal);
  if (group === undefined) {
    group = new Group(signal);
    groups.set(signal, group);
  }
  return group.add(listener);
}
