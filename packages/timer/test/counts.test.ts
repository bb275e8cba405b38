/** What a worker counts, and what it tells observers: the same, each thing once, with its lateness. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeadLetterError, timerChannel } from "../src/index.ts";
import type { TimerEvent } from "../src/index.ts";
import { Desk, freshName, Gate } from "./client.ts";
import { overtake } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** Runs with what the channel tells about a timer. */
async function listening(name: string, body: (events: TimerEvent[]) => Promise<void>): Promise<void> {
  const events: TimerEvent[] = [];
  const listener = (event: unknown): void => {
    if ((event as TimerEvent).timer === name) events.push(event as TimerEvent);
  };
  subscribe(timerChannel, listener);
  try {
    await body(events);
  } finally {
    unsubscribe(timerChannel, listener);
  }
}

const tally = (events: readonly TimerEvent[], type: TimerEvent["type"]): number =>
  events.filter((event) => event.type === type).length;

describe("what a worker counts is what it tells", () => {
  it("claimed, fired, failed and tried again, dead, each firing with its lateness", async () => {
    const name = freshName();
    await listening(name, async (told) => {
      await using desk = new Desk();
      const timer = desk.timer(server.url, name);
      const plain = ["a", "b", "c", "d", "e"];
      await timer.scheduleMany([...plain, "flaky", "bad"].map((id) => ({ id, at: 1_000 })));
      let failures = 0;
      const backoff = { baseMs: 1, delayMaxMs: 1 };
      const worker = timer.worker({ backoff, pollMs: 20, leaseMs: 60_000 }, ({ id }) => {
        if (id === "bad") throw new DeadLetterError("on purpose");
        if (id === "flaky" && failures++ === 0) throw new Error("once");
      });
      await worker.start();
      await pollUntil("all have ended", () => worker.counts().fired === 6 && worker.counts().dead === 1, {
        timeoutMs: 60_000,
      });
      await worker.idle();
      expect(worker.counts()).toEqual({
        claimed: 8,
        fired: 6,
        retried: 1,
        dead: 1,
        lost: 0,
        stale: 0,
        released: 0,
        lapsed: 0,
        running: 0,
        waiting: 0,
      });
      expect(told).toEqual(desk.events);
      const claimed = told.reduce((sum, event) => sum + (event.type === "claimed" ? event.count : 0), 0);
      expect(claimed).toBe(8);
      const fired = told.flatMap((event) => (event.type === "fired" ? [event] : []));
      expect(fired.map(({ id }) => id).toSorted()).toEqual([...plain, "flaky"]);
      // Lateness counts from the deadline, by the server's clock; that of what is tried again from the later one.
      for (const { id, attempt, latenessMs, durationMs } of fired) {
        expect(attempt).toBe(id === "flaky" ? 2 : 1);
        expect(Number.isFinite(latenessMs) && Number.isFinite(durationMs)).toBe(true);
        if (id !== "flaky") expect(latenessMs).toBeGreaterThan(1_000_000_000);
      }
      const failed = told.flatMap((event) => (event.type === "failed" ? [event] : []));
      expect(failed).toHaveLength(2);
      expect(failed.find(({ id }) => id === "flaky")).toMatchObject({
        attempt: 1,
        next: "retry",
        error: { message: "once" },
      });
      expect(failed.find(({ id }) => id === "bad")).toMatchObject({ next: "dead", delayMs: 0 });
      expect(told.filter(({ type }) => type === "dead")).toMatchObject([{ id: "bad", attempts: 1 }]);
      await worker.stop({ graceMs: 10_000 });
    });
  });

  it("lost leases, stale acknowledgements, and the lapse that another worker found", async () => {
    const name = freshName();
    await listening(name, async (told) => {
      await using desk = new Desk();
      const timer = desk.timer(server.url, name);
      await timer.schedule({ id: "a", afterMs: 0 });
      const gate = new Gate();
      const started = new Gate();
      const worker = timer.worker({ leaseMs: 3_000, concurrencyMax: 1 }, async () => {
        started.open();
        await gate.opened;
      });
      await worker.start();
      await started.opened;
      await overtake(desk, server.url, name);
      await pollUntil("the heartbeat says so", () => worker.counts().lost === 1, { timeoutMs: 60_000 });
      gate.open();
      await pollUntil("the acknowledgement was refused", () => worker.counts().stale === 1, { timeoutMs: 60_000 });
      await worker.idle();
      expect(worker.counts()).toMatchObject({ claimed: 1, lost: 1, stale: 1, lapsed: 0 });
      expect(told.filter(({ type }) => type === "lost")).toMatchObject([{ id: "a" }]);
      expect(told.filter(({ type }) => type === "stale")).toMatchObject([{ id: "a" }]);
      expect(told.filter(({ type }) => type === "lapsed")).toMatchObject([{ count: 1 }]);
      await worker.stop({ graceMs: 10_000 });
    });
  });

  it("what is given back", async () => {
    const name = freshName();
    await listening(name, async (told) => {
      await using desk = new Desk();
      const timer = desk.timer(server.url, name);
      await timer.scheduleMany(Array.from({ length: 300 }, (_, index) => ({ id: `t${index}`, at: 1_000 + index })));
      const gate = new Gate();
      const worker = timer.worker({ concurrencyMax: 2, leaseMs: 60_000 }, async ({ id }) => {
        if (Number(id.slice(1)) >= 150) await gate.opened;
      });
      await worker.start();
      await pollUntil("what waits for a place was given back", () => worker.counts().released > 0, {
        timeoutMs: 60_000,
      });
      gate.open();
      await worker.stop({ graceMs: 60_000 });
      const { claimed, fired, released, running, waiting } = worker.counts();
      expect([claimed - fired - released, running, waiting]).toEqual([0, 0, 0]);
      expect(tally(told, "released")).toBe(released);
      expect(tally(told, "fired")).toBe(fired);
      expect((await timer.stats()).pending).toBe(300 - fired);
    });
  });
});
