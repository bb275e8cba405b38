/**
 * Key names of an inventory. Everything of one bucket shares a hash tag, hence one Cluster slot; the buckets lie in different slots.
 * Bucket 0 has the same keys whatever the number of buckets: what is agreed on stands there.
 */
import { keySpace } from "@holdfast/core";

/** The keys of one bucket, by the names that the scripts give them. */
export interface BucketKeys {
  /** HASH: counters of skus, and what the bucket remembers of itself. */
  readonly stock: string;
  /** HASH: id → record. */
  readonly recordsA: string;
  /** HASH: the same, in turn. */
  readonly recordsB: string;
  /** ZSET: id of a live hold → its end in milliseconds. */
  readonly due: string;
  /** STREAM: movements. */
  readonly log: string;
  /** HASH: consumer → position. */
  readonly positions: string;
  /** HASH: units on their way between buckets. */
  readonly transit: string;
}

/**
 * @param prefix first part of every key
 * @param name 1 to 256 bytes, chosen by the caller
 * @throws TypeError, RangeError naming `name`
 */
export function bucketKeys(prefix: string, name: string, bucket: number): BucketKeys {
  // A slash cannot be typed into the primitive by a caller, so no two inventories share a tag.
  const keys = keySpace(prefix, bucket === 0 ? "inventory" : `inventory/${bucket}`, name);
  return {
    stock: keys.key("stock"),
    recordsA: keys.key("records:a"),
    recordsB: keys.key("records:b"),
    due: keys.key("due"),
    log: keys.key("log"),
    positions: keys.key("positions"),
    transit: keys.key("transit"),
  };
}

const fnvOffset = 2_166_136_261;
const fnvPrime = 16_777_619;

/** The bucket that decides an id: FNV-1a over its bytes, the same in every process and version. */
export function bucketOf(id: string, buckets: number): number {
  if (buckets === 1) return 0;
  let hash = fnvOffset;
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, fnvPrime);
  return (hash >>> 0) % buckets;
}
