/**
 * The guardian: a small process beside each test process. It reads lines of JSON from its standard input, and when that closes,
 * which happens however the test process ends, it kills every process group it was told about and removes their directories.
 * Nothing here is imported by another module; guardian.ts starts it.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** `watch` and `forget` name a process group by its leader; `keep` and `drop` name a directory. */
type Order =
  | { readonly watch: number; readonly farewell?: NodeJS.Signals }
  | { readonly forget: number }
  | { readonly keep: string }
  | { readonly drop: string };

const groups = new Map<number, NodeJS.Signals | undefined>();
const directories = new Set<string>();

// A Ctrl-C in the terminal is meant for the test process: its end is what the guardian waits for.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  if ("watch" in order) groups.set(order.watch, order.farewell);
  else if ("forget" in order) groups.delete(order.forget);
  else if ("keep" in order) directories.add(order.keep);
  else directories.delete(order.drop);
}

for (const [group, farewell] of groups) signal(farewell === undefined ? -group : group, farewell ?? "SIGKILL");
await untilGone(
  [...groups.keys()].filter((group) => groups.get(group) !== undefined),
  500,
);
for (const group of groups.keys()) signal(-group, "SIGKILL");
// A process that still runs could write into a directory while it is being removed.
await untilGone([...groups.keys()], 1_000);
for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });

/** Bounded, since a zombie that nobody reaps looks alive for ever. */
async function untilGone(leaders: readonly number[], timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && leaders.some((leader) => signal(-leader, 0))) await delay(10);
}

function signal(target: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(target, name);
  } catch {
    // Gone already: what was wanted.
    return false;
  }
}
