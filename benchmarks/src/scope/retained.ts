/** What is left behind after many scopes on one signal that lives on. */
import { scope } from "@holdfast/scope";
import type { Figure } from "../figure.ts";

const scopes = 1_000_000;

/** Bytes per scope. */
export const retained: Figure = {
  name: `memory that ${scopes.toLocaleString("en-US")} scopes on one signal leave behind, each`,
  unit: "B",
  note: "AbortSignal.any with a listener that is not removed, as a scope made by hand has it.",
  repetitionsMax: 2,
  aim: { text: "≤ 1 B", met: (median) => median("Holdfast") <= 1 },
  contestants: {
    "AbortSignal.any": () =>
      left((signal) => {
        AbortSignal.any([signal]).addEventListener("abort", () => undefined);
        return Promise.resolve();
      }, scopes / 50),
    Holdfast: () => left((signal) => scope({ name: "bench", timeoutMs: 1_000, signal }, () => 1), scopes),
  },
};

async function left(one: (signal: AbortSignal) => Promise<unknown>, count: number): Promise<number> {
  const caller = new AbortController();
  for (let index = 0; index < 1_000; index += 1) await one(caller.signal);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < count; index += 1) await one(caller.signal);
  // Timers that fire for nothing once.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  globalThis.gc?.();
  const after = process.memoryUsage().heapUsed;
  caller.abort();
  return Math.max(0, (after - before) / count);
}
