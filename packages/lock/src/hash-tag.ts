/** What Redis hashes of a key that is not ours, for keys of ours beside it. */

/**
 * The hash tag that lands in the same Cluster slot.
 * @param field the argument's name, for the message
 * @throws RangeError when no key of ours can share the slot
 */
export function hashTag(field: string, key: string): string {
  const open = key.indexOf("{");
  const close = open === -1 ? -1 : key.indexOf("}", open + 1);
  if (close > open + 1) return key.slice(open + 1, close);
  if (key.includes("}")) {
    throw new RangeError(
      `${field} must hold a hash tag such as {order:7} or no closing brace, got ${JSON.stringify(key)}`,
    );
  }
  return key;
}
