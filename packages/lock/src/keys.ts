/** The keys of one lock. All share a hash tag, hence a Cluster slot. */
import { keySpace } from "@holdfast/core";

/** Where a lock lives in Redis. */
export interface LockKeys {
  /** As holds carry it: `lock:invoice:42`. */
  readonly resource: string;
  /** STRING: token, lease, owner. */
  readonly lease: string;
  /** ZSET: waiters in order. The channels on which hand-offs are told are named after it. */
  readonly queue: string;
  /** ZSET: until when each waiter counts as alive, and owners that gave up. */
  readonly seen: string;
  /** STRING: what a forced release of this id was answered. */
  readonly forced: (operationId: string) => string;
  /** Whether somebody else was met here last, as far as this instance knows: then the queue is asked first. */
  crowded: boolean;
}

/**
 * @param prefix first part of every key
 * @param name 1 to 256 bytes, chosen by the caller
 * @throws TypeError, RangeError naming `name`
 */
export function lockKeys(prefix: string, name: string): LockKeys {
  const keys = keySpace(prefix, "lock", name);
  return {
    resource: keys.resource,
    lease: keys.key("lease"),
    queue: keys.key("queue"),
    seen: keys.key("seen"),
    forced: (operationId) => keys.key(`forced:${operationId}`),
    crowded: false,
  };
}

/**
 * Where an owner hears of a hand-off: on the channel of the place that its id names before its first slash, so that a hint reaches one
 * service and not all that wait. The scripts find it by the same rule (hand-off.lua).
 */
export function hintChannel({ queue }: LockKeys, owner: string): string {
  const slash = owner.indexOf("/");
  return slash < 0 ? queue : `${queue}:${owner.slice(0, slash)}`;
}
