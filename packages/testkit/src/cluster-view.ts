/**
 * What one node of a cluster believes about the others: the reply of CLUSTER NODES.
 */
import type { RespValue } from "./resp-reader.ts";

/** One line of CLUSTER NODES. */
export interface ClusterNodeView {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  /** The id of its master, when it is a replica. */
  readonly masterId: string | undefined;
  readonly configEpoch: number;
  readonly connected: boolean;
  /** Ranges of the slots it owns, both ends included. */
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** Decodes the reply of CLUSTER NODES. */
export function decodeClusterNodes(reply: RespValue): ClusterNodeView[] {
  return String(reply)
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", address = "", flags = "", master = "-", , , epoch = "0", link = "", ...ranges] = line.split(" ");
      return {
        id,
        port: Number(/:(\d+)/.exec(address)?.[1]),
        flags: flags.split(","),
        masterId: master === "-" ? undefined : master,
        configEpoch: Number(epoch),
        connected: link === "connected",
        // A range in brackets is a slot on its way; its owner lists it as a plain range, too.
        slots: ranges.filter((range) => !range.startsWith("[")).map(decodeRange),
      };
    });
}

/** Whether the node owns the slot. */
export function ownsSlot(node: ClusterNodeView, slot: number): boolean {
  return node.slots.some(([first, last]) => first <= slot && slot <= last);
}

/** Whether the node is reachable, and has its part: slots, or a master. */
export function isHealthy(node: ClusterNodeView): boolean {
  if (node.flags.some((flag) => flag.startsWith("fail") || flag === "handshake")) return false;
  return node.connected && (node.masterId !== undefined || node.slots.length > 0);
}

function decodeRange(range: string): readonly [number, number] {
  const [first = "", last = first] = range.split("-");
  return [Number(first), Number(last)];
}
