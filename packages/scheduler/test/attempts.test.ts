/** What counts as an attempt, and what the history says of the last one. */
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { JobOptions, RunHistory, Scheduler } from "../src/index.ts";
import { begin } from "../src/scripts.generated.ts";
import { Catcher, Desk, freshName } from "./desk.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const rarely = { everyMs: 366 * 86_400_000 } as const;

function recorded(scheduler: Scheduler): Promise<RunHistory> {
  return pollUntil(
    "the record",
    async () => {
      const history = await scheduler.history("job");
      return history.runs.length > 0 ? history : undefined;
    },
    { timeoutMs: 60_000 },
  );
}

it.each([
  ["without grace", 0, 1],
  ["with grace, which it does not use up", 60_000, 0],
])(
  "C1 stop %s while the answer to begin is under way: nothing begins, and no attempt is spent",
  async (_, graceMs, unfinished) => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    await desk.redis(server.url).script("LOAD", begin.source);
    const name = freshName();
    const options: JobOptions = { ...rarely, attemptsMax: 1 };
    const [stopped, heir] = [new Catcher(), new Catcher()];
    const first = desk.scheduler(proxy.url, name, { runner: "first", leaseMs: 3_000 });
    await first.job("job", options, stopped.handle).start();
    const held = proxy.hold("reply", new RegExp(begin.sha1, "u"));
    await desk.scheduler(server.url, name).runNow("job", { operationId: "pay" });
    await held.hit;
    const stopping = first.stop({ graceMs });
    if (graceMs === 0) await stopping;
    held.release();
    expect(await stopping).toMatchObject({ unfinished });
    const state = `holdfast:{scheduler:${name}/job}:state`;
    await pollUntil(
      "the attempt is given back",
      async () => (await desk.redis(server.url).hget(state, "attempts")) === "0",
    );
    const second = desk.scheduler(server.url, name, { runner: "second" });
    await second.job("job", options, heir.handle).start();
    expect((await recorded(second)).runs).toMatchObject([{ outcome: "completed", runner: "second", attempts: 1 }]);
    expect(heir.runs).toMatchObject([{ occurrenceId: "now-pay", attempt: 1 }]);
    expect(stopped.runs).toEqual([]);
    expect(desk.events.filter(({ type }) => type === "lost")).toEqual([]);
  },
);

it("C1 an attempt that failed and waits to be tried again, when a newer definition allows no more, is on record with its own error", async () => {
  await using desk = new Desk();
  const name = freshName();
  const backoff = { baseMs: 2_000, delayMaxMs: 2_000, jitter: 0 };
  const older = desk.scheduler(server.url, name, { runner: "older" });
  await older
    .job("job", { ...rarely, version: 1, attemptsMax: 3, backoff }, () => {
      throw new Error("the bank said no");
    })
    .start();
  await older.runNow("job", { operationId: "pay" });
  await desk.event("attempt-failed");
  const newer = desk.scheduler(server.url, name, { runner: "newer" });
  await newer.job("job", { ...rarely, version: 2, attemptsMax: 1 }, () => undefined).start();
  const failure = { why: "threw", error: "Error: the bank said no" };
  expect((await recorded(newer)).runs).toMatchObject([{ ...failure, outcome: "failed", runner: "older", attempts: 1 }]);
  expect(await desk.event("failed")).toMatchObject(failure);
});
