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
  | { readonly watch: number }
  | { readonly forget: number }
  | { readonly keep: string }
  | { readonly drop: string };

const groups = new Set<number>();
const directories = new Set<string>();

// A Ctrl-C in the terminal is meant for the test process: its end is what the guardian waits for.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  if ("watch" in order) groups.add(order.watch);
  else if ("forget" in order) groups.delete(order.forget);
  else if ("keep" in order) directories.add(order.keep);
  else directories.delete(order.drop);
}

for (const group of groups) signalGroup(group, "SIGKILL");
// A process that still runs could write into a directory while it is being removed. The bound: a zombie nobody reaps looks alive.
for (let waits = 0; waits < 100 && [...groups].some((group) => signalGroup(group, 0)); waits += 1) await delay(10);
for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });

function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    // Gone already: what was wanted.
    return false;
  }
}
