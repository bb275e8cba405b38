/** The calls of one bulkhead: those in use, and those whose work has settled and that are used again. */
import { Call } from "./call.ts";
import type { CallOwner, CallWork } from "./call.ts";

/** Calls kept for use again. */
const sparesMax = 256;

/** All calls, each at its place, so that none is entered and taken off for each attempt. */
export class CallPool {
  readonly #owner: CallOwner;
  readonly #work: CallWork;
  readonly #all: Call[] = [];
  readonly #spares: Call[] = [];

  constructor(owner: CallOwner, work: CallWork) {
    this.#owner = owner;
    this.#work = work;
  }

  /** An idle call. */
  take(): Call {
    return this.#spares.pop() ?? this.#make();
  }

  /** Takes a call back to which nothing refers any more. */
  giveBack(call: Call): void {
    call.clear();
    if (this.#spares.length < sparesMax) this.#spares.push(call);
    else this.#forget(call);
  }

  /** The calls whose work runs and whose callers wait for it, as they are now. */
  running(): Call[] {
    return this.#all.filter(({ state }) => state === "running");
  }

  #make(): Call {
    const call = new Call(this.#owner, this.#work, this.#all.length);
    this.#all.push(call);
    return call;
  }

  #forget(call: Call): void {
    const last = this.#all.pop() as Call;
    if (last === call) return;
    last.place = call.place;
    this.#all[call.place] = last;
  }
}
