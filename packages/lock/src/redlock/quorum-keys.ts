/** The keys of one quorum lock: redlock's raw key, so that both exclude each other, and ours in the same slot. */
import { keySpace } from "@holdfast/core";
import { hashTag } from "../hash-tag.ts";

/** Where a quorum lock lives on each node. */
export interface QuorumKeys {
  /** As holds carry it: `quorum:invoice:42`. */
  readonly resource: string;
  /** STRING: the name as it is, as redlock stores it. */
  readonly lock: string;
  /** STRING: the highest token of the node. */
  readonly fence: string;
  /** STRING: stands while a request of a value that has given up may arrive. */
  readonly gone: (value: string) => string;
}

/** @throws TypeError, RangeError naming `name` */
export function quorumKeys(prefix: string, name: string): QuorumKeys {
  const { resource } = keySpace(prefix, "quorum", name);
  const head = `${prefix}:{${hashTag("name", name)}}:quorum:`;
  return { resource, lock: name, fence: `${head}fence:${name}`, gone: (value) => `${head}gone:${value}` };
}
