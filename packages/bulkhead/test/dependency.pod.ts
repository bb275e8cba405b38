/**
 * A stub dependency: answers each line `id name` with `id`, after 80 ms until it is told that the name is slow, then after 380 ms; names
 * that begin with "saturated" then have twelve workers.
 */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { reportReady, servePod } from "@holdfast/testkit";
import { StandStills } from "./stand-stills.ts";

const workers = 12;
const own = new StandStills();
const slow = new Set<string>();
const busy = new Map<string, number>();
const waiting = new Map<string, (() => void)[]>();

async function work(name: string): Promise<void> {
  const queue = waiting.get(name) ?? [];
  waiting.set(name, queue);
  const limited = slow.has(name) && name.startsWith("saturated");
  if (limited && (busy.get(name) ?? 0) >= workers) await new Promise<void>((resolve) => queue.push(resolve));
  busy.set(name, (busy.get(name) ?? 0) + 1);
  await new Promise((resolve) => setTimeout(resolve, slow.has(name) ? 380 : 80));
  busy.set(name, (busy.get(name) ?? 0) - 1);
  queue.shift()?.();
}

const server = createServer((socket) => {
  socket.on("error", () => undefined);
  createInterface({ input: socket }).on("line", (line) => {
    const [id, name] = line.split(" ") as [string, string];
    void work(name).then(() => socket.write(`${id}\n`));
  });
});

servePod({
  slow: (name: unknown) => {
    slow.add(String(name));
    return true;
  },
  stoodStill: () => own.spans,
});

server.listen(0, "127.0.0.1", () => {
  reportReady({ port: (server.address() as AddressInfo).port });
});
