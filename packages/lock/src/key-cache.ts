/** The keys of the names that were used last, since making and checking them costs more than the rest of a call. */
import { lockKeys } from "./keys.ts";
import type { LockKeys } from "./keys.ts";

/** Two generations of at most so many names each. */
const namesMax = 1_024;

/** Keys by name, for one prefix. */
export class KeyCache {
  readonly #prefix: string;
  #young = new Map<string, LockKeys>();
  #old = new Map<string, LockKeys>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** @throws TypeError, RangeError naming `name` */
  keysOf(name: string): LockKeys {
    const young = this.#young.get(name);
    if (young !== undefined) return young;
    const keys = this.#old.get(name) ?? lockKeys(this.#prefix, name);
    if (this.#young.size === namesMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, keys);
    return keys;
  }
}
