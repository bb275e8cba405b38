/** C2, C3 and C5 while masters die: what is on record goes on from where it stood, under a new master as under the old one. */
import { pollUntil } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunOverranError, Scheduler } from "../src/index.ts";
import type { RunHistory, Run, SchedulerEvent } from "../src/index.ts";
import { Catcher, freshName, gaps, missedAmong, repeated } from "./desk.ts";
import { topologies } from "./topology.ts";
import type { Topology } from "./topology.ts";

/** A failover, and a machine that has little time for it. */
const patience = { timeoutMs: 100_000 };
const testMs = 300_000;

describe.each(topologies)("on %s", (_, start) => {
  let topology: Topology;
  beforeAll(async () => {
    topology = await start();
  });
  afterAll(() => topology.close());

  /** One replica on a client of its own. Without durability a failover could take back what counts as done. */
  function replica(name: string, events: SchedulerEvent[] = []): Scheduler {
    return new Scheduler(topology.client(), name, {
      pollMs: 50,
      leaseMs: 40_000,
      historyMax: 1_000,
      commandTimeoutMs: 1_000,
      durability: { replicas: 1, timeoutMs: 1_000 },
      onEvent: (event) => events.push(event),
    });
  }

  /** The history, however long the servers need for it. */
  function historyOf(scheduler: Scheduler, job: string): Promise<RunHistory> {
    return pollUntil("the history", () => scheduler.history(job).catch(() => undefined), patience);
  }

  async function runNow(scheduler: Scheduler, job: string, operationId: string): Promise<void> {
    const asked = async (): Promise<boolean> => {
      const answer = await scheduler.runNow(job, { operationId }).catch(() => undefined);
      return answer?.kind === "queued";
    };
    await pollUntil("it is asked for", asked, patience);
  }

  it(
    "C2 what passed while nobody ran and the master died is caught up, or on record as missed",
    async () => {
      const name = freshName();
      const everyMs = 250;
      const [all, once] = [new Catcher(), new Catcher()];
      const options = { everyMs, missedAfterMs: 50, overlap: "queue" } as const;
      const working = (): Scheduler =>
        replica(name)
          .job("all", { ...options, missed: "all" }, all.handle)
          .job("once", { ...options, missed: "once" }, once.handle);
      const before = working();
      await before.start();
      await all.caught(2, patience.timeoutMs);
      await once.caught(2, patience.timeoutMs);
      expect(await before.stop({ graceMs: 60_000 })).toMatchObject({ unfinished: 0 });
      const [ranAll, ranOnce] = [all.ids.length, once.ids.length];
      await topology.failOver(name, "all");
      const downMs = Date.now() - new Date(all.ids.at(-1) as string).getTime();
      expect(downMs).toBeGreaterThan(4 * everyMs);
      const after = working();
      await after.start();
      await all.caught(ranAll + Math.ceil(downMs / everyMs) + 2, patience.timeoutMs);
      await once.caught(ranOnce + 3, patience.timeoutMs);
      await after.stop({ graceMs: 60_000 });

      expect(repeated(all.ids)).toEqual([]);
      expect(all.ids).toEqual(all.ids.toSorted());
      expect(gaps(all.ids, everyMs)).toEqual([]);
      const caughtUp = await historyOf(after, "all");
      expect(caughtUp.runs.every(({ outcome }) => outcome === "completed")).toBe(true);
      expect(repeated(once.ids)).toEqual([]);
      const missing = gaps(once.ids, everyMs);
      expect(missing.length).toBeGreaterThanOrEqual(4);
      const { runs } = await historyOf(after, "once");
      expect(missedAmong(runs.toReversed(), once.ids, everyMs)).toEqual(missing);
    },
    testMs,
  );

  it(
    "C3 a run that takes too long is told while no master answers, run again with a higher token, and failed in the end",
    async () => {
      const name = freshName();
      const runs: Run[] = [];
      const options = { everyMs: 86_400_000, atMostMs: 2_000, attemptsMax: 2 } as const;
      const backoff = { baseMs: 0, delayMaxMs: 0, jitter: 0 };
      const replicas = [1, 2].map(() =>
        replica(name).job("job", { ...options, backoff }, async (run) => {
          runs.push(run);
          await new Promise(() => undefined);
        }),
      );
      await Promise.all(replicas.map((scheduler) => scheduler.start()));
      const [operator] = replicas as [Scheduler, Scheduler];
      await runNow(operator, "job", "slow");
      await pollUntil("it runs", () => runs.length === 1, patience);
      await topology.failOver(name, "job", () =>
        pollUntil("it is told", () => runs[0]?.signal.aborted === true, patience).then(() => undefined),
      );
      const recorded = async (): Promise<boolean> => (await historyOf(operator, "job")).runs.length > 0;
      await pollUntil("it is on record", recorded, patience);
      const { runs: records } = await historyOf(operator, "job");
      expect(records).toMatchObject([
        { occurrenceId: "now-slow", outcome: "failed", why: "overran", attempts: runs.length },
      ]);
      expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect(runs[1]?.token).toBeGreaterThan(runs[0]?.token ?? Infinity);
      for (const { signal } of runs) expect(signal.reason).toBeInstanceOf(RunOverranError);
      await Promise.all(replicas.map((scheduler) => scheduler.stop({ graceMs: 0 })));
    },
    testMs,
  );

  it(
    "C5 a newer version that comes while the master dies counts once there is another: none is lost or doubled, and an older one changes nothing",
    async () => {
      const name = freshName();
      const catcher = new Catcher();
      const events: SchedulerEvent[] = [];
      const rules = { overlap: "queue", missed: "all" } as const;
      const older = (): Scheduler =>
        replica(name, events).job("job", { ...rules, version: 1, everyMs: 300 }, catcher.handle);
      const old = [older(), older()];
      const renewed = replica(name).job("job", { ...rules, version: 2, everyMs: 500 }, catcher.handle);
      await Promise.all(old.map((scheduler) => scheduler.start()));
      await catcher.caught(3, patience.timeoutMs);
      await topology.failOver(name, "job", () => renewed.start());
      // What was due by the old rhythm runs first, under the new version.
      const renewedRuns = (): Run[] =>
        catcher.runs.filter(({ version, scheduledForMs }) => version === 2 && scheduledForMs % 300 > 0);
      await pollUntil("the newer one counts", () => renewedRuns().length >= 3, patience);
      await Promise.all(old.map((scheduler) => scheduler.stop({ graceMs: 60_000 })));
      events.length = 0;
      const late = older();
      await late.start();
      await pollUntil("it hears that its own does not count", () => events.some(isOutdated), patience);
      const count = renewedRuns().length;
      await pollUntil("the job goes on", () => renewedRuns().length >= count + 3, patience);
      await Promise.all([late, renewed].map((scheduler) => scheduler.stop({ graceMs: 60_000 })));

      const { runs } = await historyOf(renewed, "job");
      const due = runs.toReversed();
      expect(due.every(({ outcome }) => outcome === "completed")).toBe(true);
      const versions = due.map(({ version }) => version);
      expect(versions).toEqual(versions.toSorted((one, other) => one - other));
      // What the old rhythm planned may run under the new version. Whoever runs it, one rhythm follows the other without a gap.
      const steps = due.slice(1).map(({ scheduledForMs }, index) => scheduledForMs - (due[index]?.scheduledForMs ?? 0));
      const change = steps.findIndex((stepMs) => stepMs !== 300);
      expect(change).toBeGreaterThanOrEqual(2);
      expect(steps[change]).toBeGreaterThan(0);
      expect(steps[change]).toBeLessThanOrEqual(800);
      const later = steps.slice(change + 1);
      expect(later.length).toBeGreaterThanOrEqual(3);
      expect(later).toEqual(later.map(() => 500));
      // One that ran again, because its ending was taken back, had a higher token.
      const highest = new Map<string, number>();
      for (const { occurrenceId, token } of catcher.runs) {
        expect(token).toBeGreaterThan(highest.get(occurrenceId) ?? 0);
        highest.set(occurrenceId, token);
      }
    },
    testMs,
  );
});

function isOutdated({ type }: SchedulerEvent): boolean {
  return type === "outdated";
}
