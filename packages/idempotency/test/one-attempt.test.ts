import { LeapClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  AttemptSupersededError,
  FingerprintMismatchError,
  InProgressError,
  OutcomeUnknownError,
} from "../src/index.ts";
import type { Idempotency, RunResult } from "../src/index.ts";
import { gate, longLeaseMs, pass, rejection, renewedBy, uniqueName, useBench } from "./fixture.ts";
import { overtaken } from "./overtaken.ts";

const bench = useBench();

describe("I1 at most one live attempt per key", () => {
  it("I1 a hundred calls at once on four instances run the handler once and answer the same", async () => {
    const name = uniqueName();
    const instances = Array.from({ length: 4 }, () => bench.idempotency({ waitMs: 60_000 }, bench.client(), name));
    let runs = 0;
    const call = (instance: Idempotency): Promise<RunResult<{ runs: number }>> =>
      instance.run({ key: "k", tenant: "t" }, async () => {
        runs += 1;
        await pass(20);
        return { runs };
      });
    const results = await Promise.all(instances.flatMap((each) => Array.from({ length: 25 }, () => call(each))));
    expect(runs).toBe(1);
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(results.map(({ value }) => JSON.stringify(value)))).toEqual(new Set(['{"runs":1}']));
  });

  it("I1 a second call is told how long the key is busy, and nothing runs", async () => {
    const idempotency = bench.idempotency({ leaseMs: 600_000 });
    const first = gate<number>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    const error = await rejection(idempotency.run("k", () => expect.unreachable()));
    expect(error).toBeInstanceOf(InProgressError);
    expect((error as InProgressError).retryAfterMs).toBeGreaterThan(540_000);
    expect((error as InProgressError).retryAfterMs).toBeLessThanOrEqual(600_000);
    expect((error as InProgressError).effect).toBe("none");
    first.open(1);
    expect(await running).toEqual({ value: 1, replayed: false, stored: true });
  });

  it("I1 counter-test: without an atomic claim two calls run at once", async () => {
    const key = uniqueName();
    let live = 0;
    let most = 0;
    const naive = async (): Promise<void> => {
      if ((await bench.redis.get(key)) !== null) return;
      live += 1;
      most = Math.max(most, live);
      await bench.redis.set(key, "running");
      await pass(5);
      live -= 1;
    };
    await Promise.all(Array.from({ length: 10 }, naive));
    expect(most).toBeGreaterThan(1);
  });
});

describe("I2 a completed result never changes", () => {
  it("I2 a late worker cannot overwrite the newer result, and is told so", async () => {
    const { name, late, lateRun, events, heal } = await overtaken(bench);
    const second = bench.idempotency({ waitMs: 60_000 }, undefined, name);
    expect(await second.run("k", () => "second")).toMatchObject({ value: "second", replayed: false });
    await heal();
    late.open("first");
    const error = await rejection(lateRun);
    expect(error).toBeInstanceOf(AttemptSupersededError);
    const superseded = error as AttemptSupersededError;
    expect(superseded.value).toBe("first");
    expect(superseded.currentToken).toBeGreaterThan(superseded.token);
    expect(await second.run("k", () => "third")).toMatchObject({ value: "second", replayed: true });
    expect((await second.inspect("k"))?.staleRefused).toBe(1);
    expect(events).toContainEqual(expect.objectContaining({ type: "stale-refused", operation: "complete" }));
  });

  it("I2 a late worker whose outcome is unknown does not close the newer key, and is told that it was overtaken", async () => {
    const { name, late, lateRun, events, heal } = await overtaken(bench);
    const second = bench.idempotency({}, undefined, name);
    const work = gate<string>();
    const running = second.run("k", work.handler);
    await work.entered;
    await heal();
    const timeout = new DOMException("no answer", "TimeoutError");
    late.fail(timeout);
    const error = await rejection(lateRun);
    expect(error).toBeInstanceOf(AttemptSupersededError);
    expect((error as AttemptSupersededError).cause).toBe(timeout);
    expect(events).toContainEqual(expect.objectContaining({ type: "stale-refused", operation: "hold" }));
    expect(await second.inspect("k")).toMatchObject({ kind: "running", staleRefused: 1 });
    work.open("second");
    expect(await running).toMatchObject({ value: "second", stored: true });
  });

  it("I2 a late throw neither removes the newer result nor frees the key", async () => {
    const { name, late, lateRun, heal } = await overtaken(bench);
    const second = bench.idempotency({ waitMs: 60_000 }, undefined, name);
    await second.run("k", () => "second");
    await heal();
    late.fail(new Error("late"));
    const error = await rejection(lateRun);
    expect(error).toBeInstanceOf(AttemptSupersededError);
    expect((error as AttemptSupersededError).cause).toMatchObject({ message: "late" });
    expect(await second.run("k", () => "third")).toMatchObject({ value: "second", replayed: true });
  });

  it("I2 an attempt cannot write over the tombstone that forget leaves", async () => {
    const idempotency = bench.idempotency();
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    running.catch(() => undefined);
    await first.entered;
    expect(await idempotency.forget("k")).toEqual({ kind: "forgotten" });
    first.open("late");
    expect(await rejection(running)).toBeInstanceOf(AttemptSupersededError);
    expect((await idempotency.inspect("k"))?.kind).toBe("forgotten");
    expect(await idempotency.run("k", ({ number, recovered }) => ({ number, recovered }))).toMatchObject({
      value: { number: 2, recovered: true },
    });
  });

  it("I2 counter-test: an unconditional write by a late worker replaces the result", async () => {
    const key = uniqueName();
    await bench.redis.set(key, "second");
    await bench.redis.set(key, "first");
    expect(await bench.redis.get(key)).toBe("first");
  });
});

describe("I3 mismatch is checked before busy", () => {
  it("I3 another payload is refused while the first runs and after it, also when waiting is allowed", async () => {
    const idempotency = bench.idempotency({ waitMs: 60_000 });
    const first = gate<number>();
    const running = idempotency.run("k", { fingerprint: { amount: 1 } }, first.handler);
    await first.entered;
    const other = { fingerprint: { amount: 2 } };
    expect(await rejection(idempotency.run("k", other, () => 2))).toBeInstanceOf(FingerprintMismatchError);
    first.open(1);
    await running;
    expect(await rejection(idempotency.run("k", other, () => 2))).toBeInstanceOf(FingerprintMismatchError);
    expect(await idempotency.run("k", { fingerprint: { amount: 1 } }, () => 3)).toMatchObject({ value: 1 });
  });

  it("I3 counter-test: without a fingerprint another payload gets the first one's answer", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", () => "for one");
    expect(await idempotency.run("k", () => "for another")).toMatchObject({ value: "for one", replayed: true });
  });
});

describe("I4 a dead attempt blocks its key for at most leaseMs", () => {
  it("I4 the key of a dead attempt is taken over when its lease has passed, under a higher token", async () => {
    const { name, lateAttempt } = await overtaken(bench);
    const { value } = await bench.idempotency({}, undefined, name).run("k", ({ token, number }) => ({ token, number }));
    expect(value.token).toBeGreaterThan(lateAttempt().token);
    expect(value.number).toBe(2);
  });

  it("I4 a lease is no longer than leaseMs, and whoever waits has the key when it is over", async () => {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const dead = gate<string>();
    const first = bench.idempotency({ leaseMs: 3_000 }, redis, name).run("k", dead.handler);
    first.catch(() => undefined);
    await dead.entered;
    proxy.blackhole();
    const second = bench.idempotency({ waitMs: 0 }, undefined, name);
    const refused = await second.run("k", () => "again").catch((error: unknown) => error);
    // On a machine that stood still for that long it is over already.
    if (refused instanceof InProgressError) {
      expect(refused.retryAfterMs).toBeLessThanOrEqual(3_000);
      expect(await second.run("k", { waitMs: 60_000 }, () => "again")).toMatchObject({ value: "again" });
    } else {
      expect(refused).toMatchObject({ value: "again" });
    }
  });

  it("I4 a live attempt keeps its key for many times its lease", async () => {
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, clock });
    const first = gate<string>();
    const running = idempotency.run("k", first.handler);
    await first.entered;
    await renewedBy(bench)(clock, 9);
    expect(await rejection(idempotency.run("k", () => "stolen"))).toBeInstanceOf(InProgressError);
    first.open("own");
    expect(await running).toMatchObject({ value: "own", replayed: false });
  });

  it("I4 with onUnknown hold the key of a dead attempt stays closed until it is resolved", async () => {
    const { proxy, redis } = await bench.proxied();
    const name = uniqueName();
    const options = { leaseMs: longLeaseMs, onUnknown: "hold" } as const;
    const first = bench.idempotency(options, redis, name);
    const dead = gate<string>();
    first.run("k", dead.handler).catch(() => undefined);
    await dead.entered;
    proxy.blackhole();
    const second = bench.idempotency(options, undefined, name);
    await bench.lapse();
    expect((await second.inspect("k"))?.kind).toBe("unknown");
    const closed = await rejection(second.run("k", () => "again"));
    expect(closed).toBeInstanceOf(OutcomeUnknownError);
    expect((closed as Error).message).toContain("until `resolve` says what became of it");
    expect((await second.inspect("k"))?.expiresInMs).toBeUndefined();
    expect(await second.resolve("k", { kind: "completed", value: "seen at the provider" })).toEqual({
      kind: "resolved",
    });
    expect(await second.run("k", () => "again")).toMatchObject({ value: "seen at the provider", replayed: true });
    expect((await second.inspect("k"))?.expiresInMs).toBeGreaterThan(0);
  });

  it("I4 counter-test: without renewal a slow attempt is taken for dead", async () => {
    const key = uniqueName();
    await bench.redis.set(key, "first", "PX", 100, "NX");
    await pass(150);
    expect(await bench.redis.set(key, "second", "PX", 100, "NX")).toBe("OK");
  });
});
