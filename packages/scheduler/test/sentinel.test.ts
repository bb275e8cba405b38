/** C1 behind Sentinel: the master dies in the middle of a run. */
import { pollUntil, RedisSentinel } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Scheduler } from "../src/index.ts";
import type { Run, SchedulerEvent } from "../src/index.ts";

let sentinel: RedisSentinel;
const clients: Redis[] = [];
beforeAll(async () => {
  sentinel = await RedisSentinel.start();
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await sentinel.stop();
});

/** One replica with a client of its own. */
function replica(runner: string, onEvent?: (event: SchedulerEvent) => void): Scheduler {
  const client = new Redis(sentinel.clientOptions);
  client.on("error", () => undefined);
  clients.push(client);
  const durability = { replicas: 1, timeoutMs: 1_000 };
  return new Scheduler(client, "billing", {
    runner,
    pollMs: 50,
    leaseMs: 40_000,
    commandTimeoutMs: 1_000,
    durability,
    onEvent,
  });
}

it("C1 the master dies in the middle of a run: the run is recorded once on the new master, and no occurrence is lost or recorded twice", async () => {
  const ticks: Run[] = [];
  const settlements: Run[] = [];
  const gate = Promise.withResolvers<void>();
  const events: SchedulerEvent[] = [];
  const replicas = ["r1", "r2"].map((runner) =>
    replica(runner, (event) => events.push(event))
      .job("tick", { everyMs: 250, overlap: "queue", missed: "all" }, (run) => void ticks.push(run))
      .job("settlement", { everyMs: 86_400_000 }, async (run) => {
        settlements.push(run);
        await gate.promise;
      }),
  );
  await Promise.all(replicas.map((scheduler) => scheduler.start()));
  const [operator] = replicas as [Scheduler, Scheduler];
  // A start resolves whether or not Redis answered.
  const asked = { operationId: "settle" };
  await pollUntil("it is asked for", async () => (await operator.runNow("settlement", asked)).kind === "queued");
  await pollUntil("both run", () => settlements.length === 1 && ticks.length >= 3, { timeoutMs: 100_000 });
  const master = await sentinel.currentMaster();
  await master.kill();
  await sentinel.waitForFailover(master);
  gate.resolve();
  const before = ticks.length;
  await pollUntil("the job goes on", () => ticks.length >= before + 8, { timeoutMs: 100_000 });
  const settled = await pollUntil(
    "the settlement is on record",
    async () => {
      const { runs } = await operator.history("settlement").catch(() => ({ runs: [] }));
      return runs.length > 0 ? runs : undefined;
    },
    { timeoutMs: 100_000 },
  );
  expect(settled).toMatchObject([{ occurrenceId: "now-settle", outcome: "completed", attempts: 1 }]);
  expect(settlements).toHaveLength(1);
  expect(settlements[0]?.signal.aborted).toBe(false);
  await Promise.all(replicas.map((scheduler) => scheduler.stop({ graceMs: 5_000 })));

  const { runs } = await pollUntil("the history", () => operator.history("tick"));
  const recorded = runs.map(({ scheduledForMs }) => scheduledForMs).toReversed();
  expect(runs.every(({ outcome }) => outcome === "completed")).toBe(true);
  expect(recorded).toEqual(recorded.map((_, index) => (recorded[0] as number) + index * 250));
  // Whoever was run again, because its ending was taken back, had a higher token.
  const highest = new Map<string, number>();
  for (const { occurrenceId: id, token } of ticks) {
    expect(token).toBeGreaterThan(highest.get(id) ?? 0);
    highest.set(id, token);
  }
  expect(events.some(({ type }) => type === "trouble")).toBe(true);
}, 300_000);
