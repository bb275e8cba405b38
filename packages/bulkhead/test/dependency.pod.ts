/** A stub dependency: 80 ms until it is told to be slow, then 380 ms; paths that begin with "saturated" have twelve workers. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { reportReady, servePod } from "@holdfast/testkit";

const slow = new Set<string>();
const busy = new Map<string, number>();
const waiting = new Map<string, (() => void)[]>();
const workers = 12;

async function work(path: string): Promise<void> {
  const durationMs = slow.has(path) ? 380 : 80;
  const limited = slow.has(path) && path.startsWith("saturated");
  const queue = waiting.get(path) ?? [];
  waiting.set(path, queue);
  if (limited && (busy.get(path) ?? 0) >= workers) await new Promise<void>((resolve) => queue.push(resolve));
  busy.set(path, (busy.get(path) ?? 0) + 1);
  await new Promise((resolve) => setTimeout(resolve, durationMs));
  busy.set(path, (busy.get(path) ?? 0) - 1);
  queue.shift()?.();
}

const server = createServer((request, response) => {
  void work((request.url ?? "/").slice(1)).then(() => response.end("ok"));
});

servePod({
  slow: (path: unknown) => {
    slow.add(String(path));
    return true;
  },
});

server.listen(0, "127.0.0.1", () => {
  reportReady({ port: (server.address() as AddressInfo).port });
});
