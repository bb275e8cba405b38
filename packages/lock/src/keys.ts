/** The keys of one lock. All share a hash tag, hence a Cluster slot. */
import { keySpace } from "@holdfast/core";

/** Where a lock lives in Redis. */
export interface LockKeys {
  /** As holds carry it: `lock:invoice:42`. */
  readonly resource: string;
  /** STRING: token, lease, owner. */
  readonly lease: string;
  /** ZSET: waiters in order. Its name is also the channel on which a hand-off is told. */
  readonly queue: string;
  /** ZSET: waiters by their last request, and owners that gave up. */
  readonly seen: string;
}

/**
 * @param prefix first part of every key
 * @param name 1 to 256 bytes, chosen by the caller
 * @throws TypeError, RangeError naming `name`
 */
export function lockKeys(prefix: string, name: string): LockKeys {
  const keys = keySpace(prefix, "lock", name);
  return { resource: keys.resource, lease: keys.key("lease"), queue: keys.key("queue"), seen: keys.key("seen") };
}
