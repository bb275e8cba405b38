/** The keys of what processes share: one each for permits and for a breaker. */
import { keySpace } from "@holdfast/core";

/** One shared record. */
export interface SharedKey {
  /** Namespaced: `bulkhead:payments`. */
  readonly resource: string;
  /** HASH. Its name is also the channel of the hints. */
  readonly key: string;
}

/** The permits of all processes. @throws TypeError, RangeError naming `prefix` or `name` */
export function podsKey(prefix: string, name: string): SharedKey {
  const keys = keySpace(prefix, "bulkhead", name);
  return { resource: keys.resource, key: keys.key("pods") };
}

/** The state of a breaker. @throws TypeError, RangeError naming `prefix` or `name` */
export function breakerKey(prefix: string, name: string): SharedKey {
  const keys = keySpace(prefix, "breaker", name);
  return { resource: keys.resource, key: keys.key("state") };
}
