/** The bulkhead against cockatiel, opossum and p-limit. */
import type { Benchmark } from "../figure.ts";
import { alone, bytes, rejection, together } from "./per-call.ts";
import { queue } from "./queue.ts";
import { merelySlow, saturated } from "./slowdown.ts";

/** All figures of the bulkhead. */
export const bulkhead: Benchmark = {
  name: "bulkhead",
  peers: ["cockatiel", "opossum", "p-limit"],
  figures: [together, bytes, alone, queue, rejection, merelySlow, saturated],
};
