/** What operators do, and closing. */
import { describe, expect, it } from "vitest";
import { ClosedError, InProgressError } from "../src/index.ts";
import { all, gate, pass, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();

describe("operators", () => {
  it("stuck lists what has started and not ended, dead or alive, and nothing else", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({}, undefined, name);
    await idempotency.run("done", () => 1);
    await rejection(idempotency.run("freed", () => Promise.reject(new Error("x"))));
    const held = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" }, undefined, name);
    await rejection(held.run({ key: "held:{x}%", tenant: "t:1" }, () => Promise.reject(new Error("?"))));
    const alive = gate<number>();
    const running = idempotency.run("alive", alive.handler);
    await alive.entered;
    const list = await all(idempotency.stuck({ olderThanMs: 0 }));
    expect(
      list.map(({ key, tenant, kind }) => ({ key, tenant, kind })).toSorted((a, b) => (a.key < b.key ? -1 : 1)),
    ).toEqual([
      { key: "alive", tenant: undefined, kind: "running" },
      { key: "held:{x}%", tenant: "t:1", kind: "unknown" },
    ]);
    expect(await all(idempotency.stuck())).toEqual([]);
    alive.open(1);
    await running;
  });

  it("stuck pages through many keys, each once, and drops entries whose record is gone", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" });
    const keys = Array.from({ length: 700 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => rejection(idempotency.run(key, () => Promise.reject(new Error("?"))))));
    const listed = async (): Promise<string[]> =>
      (await all(idempotency.stuck({ olderThanMs: 0 }))).map(({ key }) => key).toSorted();
    expect(await listed()).toEqual(keys.toSorted());
    const records = await bench.redis.keys("*:record:*");
    await bench.redis.del(...records.slice(0, 300));
    expect(await listed()).toHaveLength(400);
    const indexes = await bench.redis.keys("*:held");
    const counts = await Promise.all(indexes.map((index) => bench.redis.zcard(index)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(400);
  });

  it("resolve answers what it cannot settle, and settles as it is told", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" });
    expect(await idempotency.resolve("none", { kind: "released" })).toEqual({ kind: "absent" });
    const first = gate<number>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    expect(await idempotency.resolve("k", { kind: "released" })).toMatchObject({ kind: "in-progress" });
    first.open(1);
    await running;
    expect(await idempotency.resolve("k", { kind: "released" })).toEqual({ kind: "already-completed" });
    await rejection(idempotency.run("f", () => Promise.reject(new Error("?"))));
    expect(await idempotency.resolve("f", { kind: "failed", error: new RangeError("no funds") })).toEqual({
      kind: "resolved",
    });
    expect(await rejection(idempotency.run("f", () => 1))).toMatchObject({ name: "RangeError", message: "no funds" });
    expect(await idempotency.resolve("f", { kind: "released" })).toEqual({ kind: "already-failed" });
    expect(await rejection(idempotency.resolve("f", { kind: "nothing" } as never))).toBeInstanceOf(TypeError);
  });

  it("a duplicate that waits is woken by an operator's decision", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({ leaseMs: 60_000, waitMs: 20_000 }, undefined, name);
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    running.catch(() => undefined);
    await first.entered;
    const waiting = idempotency.run("k", ({ recovered }) => recovered);
    await pass(50);
    await bench.idempotency({}, bench.client(), name).forget("k");
    expect(await waiting).toMatchObject({ value: true, replayed: false });
    first.open("late");
    await rejection(running);
  });
});

describe("closing", () => {
  it("ends waiting with a ClosedError, refuses further calls, and lets attempts end and be stored", async () => {
    const name = uniqueName();
    const idempotency = bench.idempotency({}, undefined, name);
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    const waiting = rejection(idempotency.run("k", { waitMs: 60_000 }, () => "x"));
    await pass(20);
    await idempotency.close();
    expect(await waiting).toBeInstanceOf(ClosedError);
    expect(await rejection(idempotency.run("k", () => 1))).toBeInstanceOf(ClosedError);
    expect(await rejection(idempotency.forget("k"))).toBeInstanceOf(ClosedError);
    expect(() => idempotency.stuck()).toThrow(ClosedError);
    first.open("kept");
    expect(await running).toMatchObject({ value: "kept" });
    expect(await bench.idempotency({}, undefined, name).run("k", () => 2)).toMatchObject({ value: "kept" });
  });

  it("ends the waiting of a call that is asking at that moment, and of one that has yet to begin to wait", async () => {
    const name = uniqueName();
    const first = gate<string>();
    const running = bench.idempotency({}, undefined, name).run("k", first.handler);
    await first.entered;
    const { proxy, redis } = await bench.proxied();
    for (const asksBefore of [0, 1]) {
      const idempotency = bench.idempotency({}, redis, name);
      let asked = 0;
      const held = proxy.hold("reply", (words) => words.includes("recover") && (asked += 1) > asksBefore);
      const waiting = rejection(idempotency.run("k", { waitMs: 60_000 }, () => "x"));
      await held.hit;
      await idempotency.close();
      held.release();
      expect(await waiting).toBeInstanceOf(ClosedError);
    }
    first.open("kept");
    await running;
  });

  it.each(["closed", "open"] as const)(
    "begins no handler: a claim that is answered afterwards is given back (whenUnreachable %s)",
    async (whenUnreachable) => {
      const name = uniqueName();
      const { proxy, redis } = await bench.proxied();
      const idempotency = bench.idempotency({ whenUnreachable }, redis, name);
      const held = proxy.hold("reply", (words) => words.includes("recover"));
      const running = rejection(idempotency.run("k", () => expect.unreachable()));
      await held.hit;
      await idempotency.close();
      held.release();
      expect(await running).toBeInstanceOf(ClosedError);
      const next = bench.idempotency({ waitMs: 20_000 }, undefined, name);
      expect((await next.run("k", ({ recovered }) => recovered)).value).toBe(false);
    },
  );

  it("begins no handler without a store either, when its claim fails afterwards", async () => {
    const { proxy, redis } = await bench.proxied({ retryStrategy: () => null, maxRetriesPerRequest: 0 });
    const idempotency = bench.idempotency({ whenUnreachable: "open", commandTimeoutMs: 300 }, redis);
    await proxy.refuse();
    proxy.reset();
    const running = rejection(idempotency.run("k", () => expect.unreachable()));
    await idempotency.close();
    expect(await running).toBeInstanceOf(ClosedError);
  });

  it("waiting gives up at the deadline of the work that asks", async () => {
    const { withAmbientDeadline } = await import("@holdfast/core");
    // By itself it would wait for longer than any test.
    const idempotency = bench.idempotency({ waitMs: 600_000 });
    const first = gate<number>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    expect(await rejection(withAmbientDeadline(100, () => idempotency.run("k", () => 1)))).toBeInstanceOf(
      InProgressError,
    );
    first.open(1);
    await running;
  });
});
