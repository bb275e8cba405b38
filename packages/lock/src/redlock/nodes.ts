/** Which clients make a quorum, and which redlock may be used for it. */
import type { RedisLike } from "@holdfast/core";

/** A Redlock, as far as its clients are taken from it. */
export interface RedlockLike {
  readonly clients: Iterable<unknown>;
}

const advice = "install redlock@5.0.0-beta.2, or hand in the clients themselves";

/**
 * The clients of a quorum.
 * @param given clients, or a Redlock that has them
 * @param redlockClass the class that the package redlock exports
 * @throws RangeError for an even number of clients or fewer than three, TypeError for another redlock than 5.0.0-beta.2
 */
export function clientsOf(
  given: readonly RedisLike[] | RedlockLike,
  redlockClass: { readonly prototype: object },
): readonly RedisLike[] {
  if (!("using" in redlockClass.prototype)) {
    // 4.2.0 unlocks when an extension fails, and ignores retryCount: 0, so that neither renewal nor a bounded attempt can stand on it.
    throw new TypeError(
      `redlock must be 5.0.0-beta.2, got an older one, which gives the lock away when an extension fails; ${advice}`,
    );
  }
  if ("servers" in given) {
    throw new TypeError(
      `clients must not be a Redlock 4, which gives the lock away when an extension fails; ${advice}`,
    );
  }
  const list = "clients" in given ? [...given.clients] : given;
  if (!Array.isArray(list)) throw new TypeError("clients must be an array of ioredis clients or a Redlock 5");
  const distinct = new Set<unknown>(list).size;
  if (list.length < 3 || list.length % 2 === 0 || distinct !== list.length) {
    throw new RangeError(
      `clients must be an odd number of distinct ones, 3 or more, got ${list.length} (${distinct} distinct): a split vote of an even number has no majority`,
    );
  }
  return list as readonly RedisLike[];
}
