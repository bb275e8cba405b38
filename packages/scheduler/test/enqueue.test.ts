/** enqueue.lua: what is asked for by hand, among what waits. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { catchUpMax } from "../src/plan.ts";
import { enqueue } from "../src/scripts.generated.ts";
import { Desk, freshName, patientMs } from "./desk.ts";
import { admissionOf, definitionOf, farMs, liveView, pastMs, storedJob } from "./stored.ts";

const definition = definitionOf();

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const stored = (desk: Desk, nextMs?: number): ReturnType<typeof storedJob> =>
  storedJob(desk.redis(server.url), freshName(), definition, nextMs);

it("answers busy while as many wait as may, and K1 the same to a repeat when there is room", async () => {
  await using desk = new Desk();
  const { redis, store } = await stored(desk);
  const crowd = Array.from({ length: catchUpMax }, (_, index) => [index + 1, `waiting-${index}`]).flat();
  await redis.zadd(store.keys.waiting, ...crowd);
  expect(await store.enqueue("one", "now-one", "queue")).toBe("busy");
  await redis.del(store.keys.waiting);
  expect(await store.enqueue("one", "now-one", "queue")).toBe("busy");
  expect(await store.enqueue("two", "now-two", "queue")).toBe("queued");
  expect(await store.enqueue("three", "now-three", "skip")).toBe("busy");
  expect(await liveView(store)).toMatchObject({ head: "now-two", waitingCount: 1 });
});

it("answers busy for what is about to begin: while the job is paused, that is only what was asked for by hand", async () => {
  await using desk = new Desk();
  const { store } = await stored(desk, pastMs);
  await store.admit(await liveView(store), { ...admissionOf("due", pastMs), followingMs: farMs });
  expect(await store.enqueue("one", "now-one", "skip")).toBe("busy");
  await store.pause("pause", await liveView(store));
  expect(await store.enqueue("two", "now-two", "skip")).toBe("queued");
  expect(await store.enqueue("three", "now-three", "skip")).toBe("busy");
});

it("C2 lets what may have been missed be decided first, unless the job is paused, and answers only then", async () => {
  await using desk = new Desk();
  const { redis, store } = await stored(desk, pastMs);
  expect(await store.enqueue("one", "now-one", "skip")).toBe("moved");
  expect(await liveView(store)).toMatchObject({ nextMs: pastMs, waitingCount: 0 });
  await redis.hset(store.keys.state, "paused", "1");
  expect(await store.enqueue("one", "now-one", "skip")).toBe("queued");
  await redis.hdel(store.keys.state, "paused");
  expect(await store.enqueue("one", "now-one", "skip")).toBe("queued");
  expect(await store.enqueue("two", "now-two", "skip")).toBe("moved");
  const crowd = Array.from({ length: catchUpMax }, (_, index) => [index + 1, `waiting-${index}`]).flat();
  await redis.zadd(store.keys.waiting, ...crowd);
  expect(await store.enqueue("two", "now-two", "skip")).toBe("busy");
});

it("C2 does not let what is due be skipped for it: answers busy when that will be run, and goes before it with overlap queue", async () => {
  await using desk = new Desk();
  const { store } = await stored(desk, pastMs);
  expect(await store.enqueue("one", "now-one", "skip", farMs)).toBe("busy");
  expect(await liveView(store)).toMatchObject({ nextMs: pastMs, waitingCount: 0 });
  expect(await store.enqueue("two", "now-two", "queue")).toBe("queued");
  await store.admit(await liveView(store), { ...admissionOf("due", pastMs), followingMs: farMs });
  expect(await liveView(store)).toMatchObject({ head: "now-two", waitingCount: 2 });
});

it("what is asked for by hand begins in the order in which it was asked for, also when the clock goes back, and before the plan", async () => {
  await using desk = new Desk();
  const { redis, store } = await stored(desk, pastMs);
  await store.admit(await liveView(store), { ...admissionOf("due", pastMs), followingMs: farMs });
  const aheadMs = Date.now() + 3_600_000;
  const ids = ["now-d", "now-c", "now-e", "now-a", "now-b"];
  for (const [index, id] of ids.entries()) {
    await store.enqueue(id, id, "queue");
    // As if the clock had gone back right after it.
    if (index === 2) await redis.zadd(store.keys.waiting, "XX", -aheadMs, id);
  }
  const begun: unknown[] = [];
  const dues: number[] = [];
  for (let token = 10; ; token += 1) {
    const { head, headRequested } = await liveView(store);
    if (head === "") break;
    const beginning = await store.begin(head, token, definition);
    if (beginning.kind !== "run") throw new Error(`${head} does not begin: ${beginning.kind}`);
    begun.push(head);
    dues.push(beginning.dueMs);
    expect(headRequested).toBe(head !== "due");
    const ending = await store.finish(head, token, "ended", `"${head}"`);
    expect(ending).toEqual({ kind: "recorded", head: [...ids, "due", ""][begun.length] });
  }
  expect(begun).toEqual([...ids, "due"]);
  expect(dues.slice(2)).toEqual([aheadMs, aheadMs + 1, aheadMs + 2, pastMs]);
  // Before that it is the moment of asking.
  expect(Math.abs(Number(dues[0]) - Date.now())).toBeLessThan(patientMs);
});

it("K8 a hold that the clock going back would prolong counts from first sight, and one of no length not at all", async () => {
  await using desk = new Desk();
  const { redis, store } = await stored(desk);
  await store.enqueue("a", "now-a", "queue");
  await store.begin("now-a", 10, definition);
  await store.finish("now-a", 10, "ended", "{}");
  const laterUs = (Date.now() + 3_600_000) * 1_000;
  await redis.hset(store.keys.state, "started", laterUs, "held", laterUs);
  expect(await store.enqueue("b", "now-b", "skip")).toBe("queued");
  expect(await store.begin("now-b", 11, definition)).toMatchObject({ kind: "run" });
  await store.finish("now-b", 11, "ended", "{}");
  await redis.hset(store.keys.state, "started", laterUs, "held", laterUs + 200_000);
  expect(await store.enqueue("c", "now-c", "skip")).toBe("busy");
  await pollUntil("it is over", async () => (await store.enqueue(freshName(), "now-d", "skip")) === "queued");
  await redis.hset(store.keys.state, "started", laterUs, "held", laterUs + 200_000);
  expect((await liveView(store)).heldMs).toBe(0);
  expect(await store.begin("now-d", 12, definition)).toMatchObject({ kind: "held" });
  expect((await liveView(store)).heldMs).toBeLessThanOrEqual(200);
  await pollUntil("it may begin", async () => (await store.begin("now-d", 13, definition)).kind === "run");
});

it("K1 does nothing when it is executed after its bound", async () => {
  await using desk = new Desk();
  const { redis, store } = await stored(desk);
  const keys = [store.keys.state, store.keys.waiting, store.keys.answer("runNow", "op")];
  expect(enqueue.keys).toEqual(["state", "waiting", "answer"]);
  const reply = await redis.eval(enqueue.source, keys.length, ...keys, 1, 60_000, "now-op", "queue", 0, catchUpMax);
  expect(reply).toEqual(["too-late", expect.any(String)]);
  expect(await redis.exists(store.keys.waiting)).toBe(0);
});
