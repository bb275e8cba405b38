/** Owns from when to when a fault lasted, and the question whether it hit work in flight. */
import type { ChaosEntry } from "./event.ts";
import type { Operation } from "./operation.ts";

/** One strike of a nemesis. */
export interface FaultWindow {
  readonly nemesis: string;
  readonly strike: number;
  readonly beginMs: number;
  readonly endMs: number;
  readonly pods: readonly string[];
  readonly what: string;
  readonly hits: number | undefined;
}

/** All strikes, in their order. One that never ended lasts for ever. */
export function windowsOf(entries: readonly ChaosEntry[]): FaultWindow[] {
  const ends = new Map<number, { readonly atMs: number; readonly hits: number | undefined }>();
  for (const entry of entries) {
    if (entry.kind === "fault" && entry.phase === "end") ends.set(entry.strike, { atMs: entry.atMs, hits: entry.hits });
  }
  return entries.flatMap((entry) => {
    if (entry.kind !== "fault" || entry.phase !== "begin") return [];
    const { nemesis, strike, pods, what, atMs } = entry;
    const end = ends.get(strike);
    return [
      { nemesis, strike, beginMs: atMs, endMs: end?.atMs ?? Number.POSITIVE_INFINITY, pods, what, hits: end?.hits },
    ];
  });
}

/** Whether a process name belongs to a pod: every life of a pod has a number behind its name. */
export function isLifeOf(process: string, pod: string): boolean {
  return process === pod || process.startsWith(`${pod}.`);
}

/** Whether a call was under way in one of the pods at some moment of the strike. */
export function meets(window: FaultWindow, { process, askedAtMs, answeredAtMs }: Operation): boolean {
  return askedAtMs < window.endMs && answeredAtMs > window.beginMs && window.pods.some((pod) => isLifeOf(process, pod));
}

/** Calls that were under way in one of the pods at some moment of the strike. */
export function callsHit(window: FaultWindow, operations: readonly Operation[]): number {
  return operations.filter((operation) => meets(window, operation)).length;
}
