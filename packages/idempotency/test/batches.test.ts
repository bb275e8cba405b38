/** Calls of one tick travel together, and none of them suffers from its neighbours. */
import { withAmbientDeadline } from "@holdfast/core";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import type { Idempotency } from "../src/index.ts";
import { KeyLayout } from "../src/keys.ts";
import { all, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();

/** Scripts that the server has run since the last question. */
async function scriptsRun(redis: Redis = bench.redis): Promise<number> {
  const stats = await redis.info("commandstats");
  await redis.config("RESETSTAT");
  const calls = (name: string): number => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`, "u").exec(stats)?.[1] ?? 0);
  return calls("evalsha") + calls("eval");
}

/** An instance that knows the server's time and whose scripts are there. */
async function warm(name: string, redis: Redis = bench.redis): Promise<Idempotency> {
  const idempotency = bench.idempotency({}, redis, name);
  await Promise.all([idempotency.run("warm 1", () => 1), idempotency.run("warm 2", () => 1)]);
  await scriptsRun();
  return idempotency;
}

const recordOf = (name: string, key: string): string => new KeyLayout("holdfast", name).place({ key }).record;

describe("calls of one tick", () => {
  it("travel as one script each way, thirty-two at a time, and each gets its own answer", async () => {
    const idempotency = await warm(uniqueName());
    const keys = Array.from({ length: 33 }, (_, index) => `k${index}`);
    const results = await Promise.all(keys.map((key) => idempotency.run(key, () => key)));
    expect(results.map(({ value }) => value)).toEqual(keys);
    expect(await scriptsRun()).toBe(4);
    const replays = await Promise.all(keys.map((key) => idempotency.run(key, () => expect.unreachable())));
    expect(replays).toEqual(keys.map((value) => ({ value, replayed: true, stored: true })));
    expect(await scriptsRun()).toBe(2);
  });

  it("I1 of one key start one attempt, though they travel together", async () => {
    const idempotency = await warm(uniqueName());
    let runs = 0;
    const calls = Array.from({ length: 5 }, () => idempotency.run("k", { waitMs: 60_000 }, () => (runs += 1)));
    expect((await Promise.all(calls)).map(({ value }) => value)).toEqual([1, 1, 1, 1, 1]);
    expect(runs).toBe(1);
  });

  it("I4 with onUnknown hold each stay closed until they are resolved", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold" });
    const keys = ["a", "b", "c"];
    const timeout = (): never => {
      throw new DOMException("no answer", "TimeoutError");
    };
    await Promise.all(keys.map((key) => rejection(idempotency.run(key, timeout))));
    const stuck = await all(idempotency.stuck({ olderThanMs: 0 }));
    expect(stuck.map(({ key, kind }) => `${key} ${kind}`).toSorted()).toEqual(["a unknown", "b unknown", "c unknown"]);
    await Promise.all(keys.map((key) => idempotency.resolve(key, { kind: "completed", value: key })));
    const results = await Promise.all(keys.map((key) => idempotency.run(key, timeout)));
    expect(results.map(({ value }) => value)).toEqual(keys);
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toEqual([]);
  });

  it("with a long result, or an ambient deadline that comes before the others', go alone", async () => {
    const idempotency = await warm(uniqueName());
    await Promise.all([idempotency.run("a", () => "x".repeat(20_000)), idempotency.run("b", () => 1)]);
    expect(await scriptsRun()).toBe(3);
    const hurried = withAmbientDeadline(50_000, () => idempotency.run("c", () => 1));
    await Promise.all([hurried, idempotency.run("d", () => 1)]);
    expect(await scriptsRun()).toBe(4);
  });

  it("with durability go alone, since each waits for replicas by itself", async () => {
    const name = uniqueName();
    await warm(name);
    const durable = bench.idempotency({ durability: { replicas: 1, timeoutMs: 20 } }, undefined, name);
    const errors = await Promise.all(["e", "f"].map((key) => rejection(durable.run(key, () => expect.unreachable()))));
    const unreplicated = { name: "RedisUnavailableError", cause: { name: "NotReplicatedError" } };
    expect(errors).toMatchObject([unreplicated, unreplicated]);
    expect(errors.map((error) => (error as Error).message)).toEqual([
      expect.stringContaining(`${name}::e`),
      expect.stringContaining(`${name}::f`),
    ]);
  });
});

describe("one of many that fails", () => {
  it("K3 for a key of another program fails alone, at its claim and at its outcome", async () => {
    const name = uniqueName();
    const idempotency = await warm(name);
    await bench.redis.rpush(recordOf(name, "foreign"), "x");
    await bench.redis.set(recordOf(name, "text"), "x");
    await bench.redis.set(recordOf(name, "broken"), "1:completed:1764360000000000:print:owner:");
    const run = (key: string): Promise<unknown> =>
      idempotency
        .run(key, async () => {
          if (key === "spoilt") await bench.redis.set(recordOf(name, key), "x");
          return key;
        })
        .catch((error: unknown) => error);
    const [first, foreign, text, broken, spoilt, last] = await Promise.all(
      ["first", "foreign", "text", "broken", "spoilt", "last"].map((key) => run(key)),
    );
    expect([first, last]).toMatchObject([{ value: "first" }, { value: "last" }]);
    const refused = { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" };
    expect([foreign, text]).toMatchObject([refused, refused]);
    expect((foreign as Error).message).toContain(`${name}::foreign`);
    expect(broken).toMatchObject({ name: "UnexpectedReplyError" });
    // Its handler has run: only the cause says what the key is.
    expect(spoilt).toMatchObject({ name: "OutcomeUnknownError", cause: refused });
  });

  it("of a newer version is told so, and the others run", async () => {
    const name = uniqueName();
    const idempotency = await warm(name);
    await bench.redis.set(recordOf(name, "newer"), "2:whatever");
    const calls = await Promise.allSettled(["newer", "k"].map((key) => idempotency.run(key, () => key)));
    expect(calls).toMatchObject([
      { status: "rejected", reason: { name: "NewerFormatError", found: 2, supported: 1 } },
      { status: "fulfilled", value: { value: "k" } },
    ]);
  });

  it("for a key that this user may not touch fails alone", async () => {
    const name = uniqueName();
    await bench.redis.call(
      ...(["ACL", "SETUSER", "half", "reset", "on", ">secret", "+@all", "&*"] as const),
      `~holdfast:{idempotency:${name}:*}:record:ours:*`,
      `~holdfast:{idempotency:${name}:*}:recovering`,
      `~holdfast:{idempotency:${name}:*}:held`,
    );
    const idempotency = bench.idempotency({}, bench.client({ username: "half", password: "secret" }), name);
    const calls = await Promise.allSettled(
      ["ours", "theirs", "ours"].map((tenant, index) => idempotency.run({ tenant, key: `k${index}` }, () => tenant)),
    );
    expect(calls).toMatchObject([
      { status: "fulfilled", value: { value: "ours", stored: true } },
      { status: "rejected", reason: { name: "RedisRefusedError", reason: "NOPERM", effect: "none" } },
      { status: "fulfilled", value: { value: "ours", stored: true } },
    ]);
    await bench.redis.call("ACL", "DELUSER", "half");
  });
});

describe("many that cannot be served", () => {
  it("I7 hear nothing of the keys of others", async () => {
    const { proxy, redis } = await bench.proxied();
    const idempotency = bench.idempotency({ commandTimeoutMs: 100, leaseMs: 1_000 }, redis);
    await proxy.refuse();
    proxy.reset();
    const keys = ["mine", "theirs"];
    const errors = await Promise.all(keys.map((key) => rejection(idempotency.run(key, () => expect.unreachable()))));
    for (const [index, error] of errors.entries()) {
      expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
      for (let part = error; part instanceof Error; part = part.cause)
        expect(part.message).not.toContain(keys[1 - index]);
    }
  });

  it("K3 are all refused when memory is out, each by its own name, and nothing of them is left", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const idempotency = bench.idempotency({}, redis);
    await idempotency.inspect("k");
    await redis.config("SET", "maxmemory", "1");
    const errors = await Promise.all(
      ["a", "b"].map((key) => rejection(idempotency.run(key, () => expect.unreachable()))),
    );
    expect(errors).toMatchObject([
      { reason: "OOM", effect: "none", message: expect.stringContaining("::a") as string },
      { reason: "OOM", effect: "none", message: expect.stringContaining("::b") as string },
    ]);
    expect(await redis.dbsize()).toBe(0);
    redis.disconnect();
  });

  it("K3 start no attempt when memory is out, and those whose outcome is stored, or that are running, are told", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const idempotency = bench.idempotency({}, redis);
    const gate = Promise.withResolvers<void>();
    const running = idempotency.run("running", () => gate.promise);
    await idempotency.run("done", () => 1);
    await redis.config("SET", "maxmemory", "1");
    const keysBefore = await redis.dbsize();
    const run = (key: string): Promise<unknown> =>
      idempotency.run(key, () => expect.unreachable()).catch((error: unknown) => error);
    expect(await Promise.all(["new", "done", "running", "newer"].map((key) => run(key)))).toMatchObject([
      { reason: "OOM", effect: "none" },
      { value: 1, replayed: true },
      { name: "InProgressError" },
      { reason: "OOM", effect: "none" },
    ]);
    expect(await redis.dbsize()).toBe(keysBefore);
    gate.resolve();
    await running;
    redis.disconnect();
  });

  it("K3 leave no record when their index cannot list them", async () => {
    const name = uniqueName();
    const idempotency = await warm(name);
    const { record, recovering } = new KeyLayout("holdfast", name).place({ key: "a" });
    await bench.redis.set(recovering, "foreign");
    const [refused, run] = await Promise.allSettled(["a", "b"].map((key) => idempotency.run(key, () => key)));
    expect(refused).toMatchObject({ reason: { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" } });
    expect(run).toMatchObject({ value: { value: "b" } });
    expect(await bench.redis.exists(record)).toBe(0);
  });
});

describe("a lost reply of many", () => {
  it("I9 of claims, and of outcomes: each is repeated under its own attempt, and nobody hears unknown", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const name = uniqueName();
    const idempotency = bench.idempotency({ commandTimeoutMs: 60_000 }, redis, name);
    await idempotency.inspect("k");
    const claims = proxy.swallowReply((words) => words.includes("recover"));
    const outcomes = proxy.swallowReply((words) => words.includes("completed"));
    const runs = new Map<string, number>();
    const claimed = Promise.withResolvers<void>();
    const keys = Array.from({ length: 8 }, (_, index) => `k${index}`);
    const results = await Promise.all(
      keys.map((key) =>
        idempotency.run(key, async () => {
          runs.set(key, (runs.get(key) ?? 0) + 1);
          // The second fault must not hit a claim that is still being repeated after the first.
          if (runs.size === keys.length) claimed.resolve();
          await claimed.promise;
          return key;
        }),
      ),
    );
    expect(results).toEqual(keys.map((value) => ({ value, replayed: false, stored: true })));
    expect([claims.hits, outcomes.hits]).toEqual([1, 1]);
    expect([...runs.values()]).toEqual(keys.map(() => 1));
    const states = await Promise.all(keys.map((key) => idempotency.inspect(key)));
    expect(states.map((state) => [state?.kind, state?.attempts])).toEqual(keys.map(() => ["completed", 1]));
  });
});
