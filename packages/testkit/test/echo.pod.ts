/** A program for pod.test.ts. */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { reportReady, servePod } from "../src/index.ts";

const ticks: number[] = [];
let last = performance.now();
setInterval(() => {
  ticks.push(performance.now() - last);
  last = performance.now();
}, 10);

if (process.env["STUBBORN"] !== undefined) process.on("SIGTERM", () => console.log("no"));
else if (process.env["TIDY"] !== undefined) process.on("SIGTERM", () => process.exit(7));

process.on("message", (message) => {
  if (typeof message === "string") process.send?.({ heard: message });
});

servePod({
  add: ({ a, b }: { a: number; b: number }) => a + b,
  fail: () => {
    throw new TypeError("as told");
  },
  longestTickMs: () => Math.max(...ticks),
  grandchild: () => spawn("sleep", ["1000"], { stdio: "ignore" }).pid,
  crash: () => process.exit(3),
  chatter: (lines: number) => {
    for (let line = 1; line <= lines; line += 1) console.log(`line ${line}`);
  },
});

const server = createServer().listen(0, "127.0.0.1", () => {
  console.log(`listening with ${process.argv.slice(2).join(" ")}`);
  reportReady(server.address());
});
