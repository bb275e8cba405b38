/** Nothing piles up in the process, nor on the nodes, over many cycles of a quorum lock. */
import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { QuorumLock } from "../src/redlock/index.ts";
import { useQuorum } from "./quorum-fixture.ts";

const quorum = useQuorum();

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** After a few turns, in which what is weakly held is let go. */
async function heapBytes(): Promise<number> {
  for (let turn = 0; turn < 5; turn += 1) {
    collectGarbage();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return process.memoryUsage().heapUsed;
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
}

async function cycles(lock: QuorumLock, count: number, signal: AbortSignal): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await lock.withLock(`n${next % 100}`, { waitMs: 60_000, signal }, () => undefined);
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
}

it("L7 4,000 cycles under one signal leave the heap flat, no listener and no timer, and keys that end", async () => {
  const { signal } = new AbortController();
  const lock = quorum.lock({ nodeTimeoutMs: 60_000, clockSkewMaxMs: 60_000, retryEveryMs: 5 });
  await cycles(lock, 1_000, signal);
  const before = await heapBytes();
  const timersBefore = timers();
  await cycles(lock, 4_000, signal);
  // What a listener on a signal made of two keeps, 1.2 kB, would be 4.8 MB.
  expect((await heapBytes()) - before).toBeLessThan(3_000_000);
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  expect(timers()).toBeLessThanOrEqual(timersBefore);
  await lock.close();
  for (const client of quorum.direct) {
    const keys = await client.keys("*");
    const seals = keys.filter((key) => key.includes(":quorum:gone:"));
    // Each name leaves the node's highest token; an owner whose proposal was still under way, a seal for nodeTimeoutMs.
    expect(keys.length - seals.length).toBeLessThanOrEqual(100);
    const ends = await Promise.all(seals.map((key) => client.pttl(key)));
    expect(Math.max(0, ...ends)).toBeLessThanOrEqual(60_000);
  }
});
