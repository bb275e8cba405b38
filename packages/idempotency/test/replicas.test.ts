/**
 * Too few replicas: what was not written for a caller is not told as written. A refusal stays a refusal, a stored outcome is replayed, and a claim
 * that is not confirmed has run nothing.
 */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  AttemptSupersededError,
  FingerprintMismatchError,
  type IdempotencyEvent,
  InProgressError,
} from "../src/index.ts";
import type { Idempotency, IdempotencyOptions } from "../src/index.ts";
import { gate, longLeaseMs, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();
let replica: RedisServer;

beforeAll(async () => {
  replica = await RedisServer.start({ config: { replicaof: `${bench.server.host} ${bench.server.port}` } });
  await pollUntil("it replicates", async () => (await bench.redis.info("replication")).includes("state=online"));
});
afterEach(() => replica.resume());
afterAll(() => replica.stop());

/** Two instances of one name: one that waits for the replica, and one that does not. */
function pair(options: IdempotencyOptions = {}): {
  durable: Idempotency;
  plain: Idempotency;
  told: IdempotencyEvent[];
} {
  const name = uniqueName();
  const told: IdempotencyEvent[] = [];
  const onEvent = (event: IdempotencyEvent): unknown => told.push(event);
  const durability = { replicas: 1, timeoutMs: 1_500 };
  const settings = { leaseMs: longLeaseMs, ...options };
  return {
    durable: bench.idempotency({ ...settings, durability, onEvent }, undefined, name),
    plain: bench.idempotency(settings, undefined, name),
    told,
  };
}

describe("with too few replicas", () => {
  it("I2 an attempt that was overtaken hears so, not that its outcome is stored", async () => {
    const { durable, plain, told } = pair();
    const late = gate<string>();
    const first = durable.run("k", late.handler);
    first.catch(() => undefined);
    await Promise.race([late.entered, first]);
    await bench.lapse();
    await plain.run("k", () => "second");
    replica.pause();
    late.open("first");
    const error = await rejection(first);
    expect(error).toBeInstanceOf(AttemptSupersededError);
    expect((error as AttemptSupersededError).value).toBe("first");
    expect(told.map(({ type }) => type)).toEqual(["started", "stale-refused"]);
    expect(await durable.run("k", () => "third")).toMatchObject({ value: "second", replayed: true });
  });

  it("I2 an error of an attempt that was overtaken frees or closes nothing, and is told so", async () => {
    for (const error of [new Error("plain"), new DOMException("x", "TimeoutError")]) {
      const { durable, plain } = pair();
      const late = gate<string>();
      const first = durable.run("k", late.handler);
      first.catch(() => undefined);
      await Promise.race([late.entered, first]);
      await bench.lapse();
      await plain.run("k", () => "second");
      replica.pause();
      late.fail(error);
      expect(await rejection(first)).toBeInstanceOf(AttemptSupersededError);
      replica.resume();
    }
  });

  it("I3 a stored outcome is replayed, another payload is refused, a key that is in use is in progress, and nothing counts as stale", async () => {
    const { durable, plain, told } = pair();
    await plain.run("done", { fingerprint: 1 }, () => "done");
    const work = gate<string>();
    const running = plain.run("busy", work.handler);
    await Promise.race([work.entered, running]);
    replica.pause();
    expect(await durable.run("done", { fingerprint: 1 }, () => "again")).toMatchObject({
      value: "done",
      replayed: true,
    });
    const other = durable.run("done", { fingerprint: 2 }, () => "other");
    expect(await rejection(other)).toBeInstanceOf(FingerprintMismatchError);
    expect(await rejection(durable.run("busy", () => "beside"))).toBeInstanceOf(InProgressError);
    work.open("");
    await running;
    expect(await plain.inspect("done")).toMatchObject({ kind: "completed", staleRefused: 0 });
    expect(told.map(({ type }) => type)).not.toContain("not-replicated");
  });

  it.each(["closed", "open"] as const)(
    "I1 a claim that is not confirmed has run nothing, and is given back: RedisUnavailableError, also with whenUnreachable %s",
    async (whenUnreachable) => {
      const { durable, plain } = pair({ whenUnreachable });
      replica.pause();
      const error = await rejection(durable.run("k", () => expect.unreachable()));
      expect(error).toMatchObject({
        name: "RedisUnavailableError",
        effect: "none",
        cause: { name: "NotReplicatedError" },
      });
      await pollUntil("it is given back", async () => (await plain.inspect("k"))?.kind === "released");
      expect(await plain.run("k", ({ recovered }) => recovered)).toMatchObject({ value: false });
    },
  );

  it("an operator's decision that comes too late is told as such; one that was taken is not confirmed", async () => {
    const { durable, plain } = pair({ onUnknown: "hold" });
    await plain.run("done", () => "done");
    await rejection(plain.run("held", () => Promise.reject(new DOMException("x", "TimeoutError"))));
    replica.pause();
    const decision = { kind: "completed", value: "by hand" } as const;
    expect(await durable.resolve("done", decision)).toEqual(await plain.resolve("done", decision));
    expect(await rejection(durable.resolve("held", decision))).toMatchObject({ name: "NotReplicatedError" });
    expect(await durable.run("held", () => "again")).toMatchObject({ value: "by hand", replayed: true });
  });
});
