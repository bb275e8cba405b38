/** What one call costs that finds a free permit, in time and in memory. */
import { Bulkhead } from "@holdfast/bulkhead";
import pLimit from "p-limit";
import type { Figure } from "../figure.ts";
import { bytesPerCall, nsPerCall } from "../in-process.ts";
import { cockatiel, cockatielBulkhead, cockatielCheapest, holdfast, nothing, opossum } from "./contestants.ts";

const calls = 100_000;
const slowerCalls = 20_000;

/** Bulkhead, breaker and timeout together: time. */
export const together: Figure = {
  name: "bulkhead, breaker and timeout: a call that does nothing",
  unit: "ns",
  note: "opossum has no queue, and its timeout frees the permit while the work goes on. cockatiel's cheapest parts: a breaker that counts consecutive failures, a timeout that stops nobody.",
  aim: {
    text: "≤ 0.4 × opossum without percentiles, ≤ 0.15 × cockatiel's cheapest",
    met: (median) =>
      median("Holdfast") <= 0.4 * median("opossum, no percentiles") &&
      median("Holdfast") <= 0.15 * Math.min(median("cockatiel"), median("cockatiel, cheapest")),
  },
  contestants: {
    "a bare call": nsPerCall(() => nothing, calls),
    opossum: nsPerCall(() => opossum(), calls),
    "opossum, no percentiles": nsPerCall(() => opossum({ rollingPercentilesEnabled: false }), calls),
    cockatiel: nsPerCall(cockatiel, slowerCalls),
    "cockatiel, cheapest": nsPerCall(cockatielCheapest, slowerCalls),
    Holdfast: nsPerCall(() => holdfast(), calls),
  },
};

/** The same: memory. */
export const bytes: Figure = {
  name: "bulkhead, breaker and timeout: memory that a call allocates",
  unit: "B",
  aim: { text: "≤ 1,000 B", met: (median) => median("Holdfast") <= 1_000 },
  contestants: {
    "a bare call": bytesPerCall(() => nothing),
    opossum: bytesPerCall(() => opossum()),
    "opossum, no percentiles": bytesPerCall(() => opossum({ rollingPercentilesEnabled: false })),
    cockatiel: bytesPerCall(cockatiel),
    "cockatiel, cheapest": bytesPerCall(cockatielCheapest),
    Holdfast: bytesPerCall(() => holdfast()),
  },
};

/** Without a breaker. Holdfast's timeout cannot be switched off. */
export const alone: Figure = {
  name: "bulkhead alone: a call that does nothing",
  unit: "ns",
  note: "p-limit and cockatiel's bulkhead have neither a timeout nor an account of what happened.",
  aim: { text: "stated, not first", met: (median) => median("Holdfast") > 0 },
  contestants: {
    "p-limit": nsPerCall(() => {
      const limit = pLimit(10);
      return () => limit(nothing);
    }, calls),
    cockatiel: nsPerCall(cockatielBulkhead, calls),
    Holdfast: nsPerCall(() => holdfast({ breaker: undefined }), calls),
  },
};

/** A call that is refused. */
export const rejection: Figure = {
  name: "a call that is refused, since the queue is full or the breaker open",
  unit: "ns",
  aim: {
    text: "≤ 2,000 ns",
    met: (median) => Math.max(median("Holdfast, full"), median("Holdfast, open")) <= 2_000,
  },
  contestants: {
    "Holdfast, full": nsPerCall(() => {
      const full = new Bulkhead("bench", { concurrencyMax: 1, queueMax: 0 });
      void full.run(() => new Promise(() => undefined)).catch(() => undefined);
      return () => full.run(nothing).catch(() => undefined);
    }, calls),
    "Holdfast, open": nsPerCall(async () => {
      const open = new Bulkhead("bench", { breaker: { callsMin: 1, openMs: 600_000 } });
      await open.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
      return () => open.run(nothing).catch(() => undefined);
    }, calls),
  },
};
