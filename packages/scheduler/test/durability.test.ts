/** What is answered where too few replicas confirm: "done on the master" is said of what was done there, and of nothing else. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Run } from "../src/index.ts";
import { Catcher, Desk, freshName } from "./desk.ts";
import { admissionOf, definitionOf, dueJob, farMs, liveView, storeOf } from "./stored.ts";

/** The server has no replica, so nobody ever confirms. */
const durability = { replicas: 1, timeoutMs: 10 };

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ config: { "repl-diskless-sync-delay": 0 } });
});
afterAll(() => server.stop());

/** A job with one occurrence that is due and undecided, and an operator whose calls need a replica. */
async function dueJobOf(desk: Desk) {
  const name = freshName();
  const store = storeOf(desk.redis(server.url), name);
  await dueJob(desk.redis(server.url), store, definitionOf({ missed: "skip", missedAfterMs: 1 }), Date.now() - 5_000);
  return { store, operator: desk.scheduler(server.url, name, { durability }) };
}

const doneOnMaster = (operationId: string) => ({ code: "NOT_REPLICATED", operationId });

it("C2 K1 runNow that is told as done on the master is: what was due before it needs no replica of its own", async () => {
  await using desk = new Desk();
  const { store, operator } = await dueJobOf(desk);
  await expect(operator.runNow("job", { operationId: "one" })).rejects.toMatchObject(doneOnMaster("one"));
  expect(await liveView(store)).toMatchObject({ head: "now-one", waitingCount: 1 });
});

it("C2 K1 a pause that is told as done on the master is", async () => {
  await using desk = new Desk();
  const { store, operator } = await dueJobOf(desk);
  await expect(operator.pause("job", { operationId: "one" })).rejects.toMatchObject(doneOnMaster("one"));
  expect(await liveView(store)).toMatchObject({ paused: true });
});

it("nothing that was not done is told as done: absent, busy", async () => {
  await using desk = new Desk();
  const { store, operator } = await dueJobOf(desk);
  for (const call of ["pause", "resume", "runNow", "remove"] as const)
    expect(await operator[call]("none")).toEqual({ kind: "absent" });
  await store.admit(await liveView(store), {
    ...admissionOf("due", (await liveView(store)).nextMs),
    followingMs: farMs,
  });
  expect(await operator.runNow("job")).toEqual({ kind: "busy" });
});

it("remove tells the run under way, though no replica confirms", async () => {
  await using desk = new Desk();
  const name = freshName();
  const runs: Run[] = [];
  const scheduler = desk.scheduler(server.url, name).job("job", { cron: "0 0 * * *" }, async (run) => {
    runs.push(run);
    await new Promise((resolve) => run.signal.addEventListener("abort", resolve, { once: true }));
  });
  await scheduler.start();
  await scheduler.runNow("job");
  await desk.event("started");
  const operator = desk.scheduler(server.url, name, { durability });
  await expect(operator.remove("job", { operationId: "gone" })).rejects.toMatchObject(doneOnMaster("gone"));
  await pollUntil("the run was told", () => runs[0]?.signal.aborted === true);
});

it("C1 begins no run that no replica knows of, and begins it in its first attempt once one does", async () => {
  await using desk = new Desk();
  const name = freshName();
  const store = storeOf(desk.redis(server.url), name);
  const catcher = new Catcher();
  const careful = { replicas: 1, timeoutMs: 500 };
  await desk
    .scheduler(server.url, name, { durability: careful })
    .job("job", { cron: "0 0 * * *" }, catcher.handle)
    .start();
  expect(await desk.scheduler(server.url, name).runNow("job", { operationId: "one" })).toMatchObject({
    kind: "queued",
  });
  await desk.event("trouble", ({ during }) => during === "begin");
  expect(await liveView(store)).toMatchObject({ open: "now-one" });
  expect(catcher.runs).toEqual([]);
  const replica = await RedisServer.start({ config: { replicaof: `${server.host} ${server.address.port}` } });
  try {
    expect(await catcher.caught(1)).toMatchObject([{ occurrenceId: "now-one", attempt: 1 }]);
    await desk.event("completed");
  } finally {
    await replica.stop();
  }
});
