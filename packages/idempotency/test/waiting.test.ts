/** Duplicates that wait: what they cost, how soon they are woken, and what happens when hints are lost. */
import { systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { FingerprintMismatchError, InProgressError } from "../src/index.ts";
import { gate, pass, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();
/** Who waits looks by himself when a timer says so, and here none does. */
const timerless: Clock = { ...systemClock, setTimer: () => ({ timer: undefined }), clearTimer: () => undefined };

async function commands(): Promise<Map<string, number>> {
  const text = await bench.redis.info("commandstats");
  return new Map(
    [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map((match) => [match[1] ?? "", Number(match[2])]),
  );
}

async function callsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await commands();
  await work();
  const after = await commands();
  const entries = [...after].map(([name, calls]) => [name, calls - (before.get(name) ?? 0)] as const);
  return Object.fromEntries(
    entries.filter(([name, calls]) => calls > 0 && /^(evalsha|eval|subscribe|unsubscribe|ping)$/.test(name)),
  );
}

describe("round trips", () => {
  it("a first run is two round trips and a replay one", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("warm", () => 1);
    expect(await callsOf(() => idempotency.run("k", () => 1))).toEqual({ evalsha: 2 });
    expect(await callsOf(() => idempotency.run("k", () => 1))).toEqual({ evalsha: 1 });
  });

  it("a hundred concurrent duplicates in one process cost one execution and one question each", async () => {
    const idempotency = bench.idempotency({ waitMs: 60_000, clock: timerless });
    let runs = 0;
    const first = gate<number>();
    const calls = await callsOf(async () => {
      const all = Array.from({ length: 100 }, () =>
        idempotency.run("k", () => {
          runs += 1;
          return first.handler();
        }),
      );
      await first.entered;
      await pass(50);
      first.open(7);
      const results = await Promise.all(all);
      expect(results.every(({ value }) => value === 7)).toBe(true);
    });
    expect(runs).toBe(1);
    // 100 claims, the end, and one more look when the subscription stands.
    expect(calls["evalsha"]).toBeLessThanOrEqual(100 + 1 + 2);
  });
});

describe("waking", () => {
  it("duplicates in another process are woken by the hint, long before they would look by themselves", async () => {
    const name = uniqueName();
    const here = bench.idempotency({}, undefined, name);
    const first = gate<string>();
    const running = here.run("k", first.handler);
    await first.entered;
    const there = bench.idempotency({ waitMs: 600_000, clock: timerless }, bench.client(), name);
    const waiting = Array.from({ length: 100 }, async () => (await there.run("k", () => "never")).value);
    await pollUntil(
      "they listen",
      async () =>
        Number((await bench.redis.pubsub("NUMPAT")) ?? 0) >= 0 && (await bench.redis.pubsub("CHANNELS")).length === 1,
    );
    first.open("done");
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(["done"]));
    await running;
  });

  it("with every hint lost they look by themselves", async () => {
    const name = uniqueName();
    const here = bench.idempotency({}, undefined, name);
    const first = gate<string>();
    const running = here.run("k", first.handler);
    await first.entered;
    // A user who may not subscribe hears no hint.
    await bench.redis.call("ACL", "SETUSER", "deaf", "on", ">deaf", "~*", "+@all", "resetchannels");
    const there = bench.idempotency({ waitMs: 60_000 }, bench.client({ username: "deaf", password: "deaf" }), name);
    const waiting = there.run("k", () => "never");
    await pass(100);
    first.open("done");
    expect(await waiting).toMatchObject({ value: "done", replayed: true });
    await running;
    await bench.redis.call("ACL", "DELUSER", "deaf");
  });

  it("an attempt that ends without an outcome lets exactly one of those who wait run", async () => {
    const name = uniqueName();
    const instances = [
      bench.idempotency({ waitMs: 60_000 }, undefined, name),
      bench.idempotency({ waitMs: 60_000 }, bench.client(), name),
    ];
    const first = gate<string>();
    const failing = rejection((instances[0] as (typeof instances)[number]).run("k", first.handler));
    await first.entered;
    let runs = 0;
    const waiting = instances.flatMap((instance) =>
      Array.from({ length: 20 }, () =>
        instance.run("k", async () => {
          runs += 1;
          await pass(20);
          return runs;
        }),
      ),
    );
    await pass(50);
    first.fail(new Error("x"));
    await failing;
    expect(new Set((await Promise.all(waiting)).map(({ value }) => value))).toEqual(new Set([1]));
    expect(runs).toBe(1);
  });

  it("those with another payload find out for themselves once the key is free", async () => {
    const idempotency = bench.idempotency({ waitMs: 60_000 });
    const first = gate<string>();
    const running = rejection(idempotency.run("k", first.handler));
    await first.entered;
    const waiting = [1, 2].map((fingerprint) =>
      idempotency
        .run("k", { fingerprint }, () => fingerprint)
        .then(
          ({ value }) => value,
          (error: unknown) => error,
        ),
    );
    await pass(30);
    first.fail(Object.assign(new Error("x"), { effect: "none" }));
    await running;
    const outcomes = await Promise.all(waiting);
    expect(outcomes.filter((outcome) => typeof outcome === "number")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome instanceof FingerprintMismatchError)).toHaveLength(1);
  });

  it("one that gives up, or is cancelled, leaves its turn to another", async () => {
    const idempotency = bench.idempotency();
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    const controller = new AbortController();
    const cancelled = rejection(idempotency.run("k", { waitMs: 60_000, signal: controller.signal }, () => "x"));
    const patient = idempotency.run("k", { waitMs: 60_000 }, () => "x");
    const hasty = rejection(idempotency.run("k", { waitMs: 50 }, () => "x"));
    expect(await hasty).toBeInstanceOf(InProgressError);
    controller.abort(new Error("enough"));
    await cancelled;
    first.open("done");
    expect(await patient).toMatchObject({ value: "done" });
    await running;
  });

  it("nothing is subscribed to once nobody waits", async () => {
    const idempotency = bench.idempotency({ waitMs: 60_000 });
    const first = gate<number>();
    const calls = [idempotency.run("k", first.handler), idempotency.run("k", first.handler)];
    await first.entered;
    await pollUntil("it listens", async () => (await bench.redis.pubsub("CHANNELS")).length === 1);
    first.open(1);
    await Promise.all(calls);
    await pollUntil("it does not listen", async () => (await bench.redis.pubsub("CHANNELS")).length === 0);
  });
});
