/**
 * A stub dependency in a process of its own: answers each line `id` with it, after 80 ms until it is told to be slow, then after 380 ms;
 * with `WORKERS` set it then works on so many requests at a time.
 */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { random, reportReady, servePod } from "@holdfast/testkit";

const quickMs = 80;
const slowMs = 380;
const workers = Number(process.env["WORKERS"] ?? Infinity);
const chance = random(1);
const waiting: (() => void)[] = [];
let answerMs = quickMs;
let busy = 0;

async function work(): Promise<void> {
  if (answerMs === slowMs && busy >= workers) await new Promise<void>((resolve) => waiting.push(resolve));
  busy += 1;
  await new Promise((resolve) => setTimeout(resolve, answerMs * chance.float(0.9, 1.1)));
  busy -= 1;
  waiting.shift()?.();
}

const server = createServer((socket) => {
  socket.on("error", () => undefined);
  createInterface({ input: socket }).on("line", (id) => {
    void work().then(() => socket.write(`${id}\n`));
  });
});

servePod({
  slow: () => {
    answerMs = slowMs;
    return answerMs;
  },
});

server.listen(0, "127.0.0.1", () => {
  reportReady((server.address() as AddressInfo).port);
});
