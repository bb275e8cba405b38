/** What other libraries were measured to do, each as a named outage that does not happen here. */
import { getEventListeners } from "node:events";
import { LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { AttemptSupersededError, FingerprintMismatchError, StoredError } from "../src/index.ts";
import type { Idempotency } from "../src/index.ts";
import { all, gate, longLeaseMs, pass, rejection, renewedBy, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();
const renewals = renewedBy(bench);

/** A first worker that is cut off past its lease, and a second that has completed. */
async function latecomer(): Promise<{
  second: Idempotency;
  late: ReturnType<typeof gate<string>>;
  run: Promise<unknown>;
}> {
  const name = uniqueName();
  const { proxy, redis } = await bench.proxied();
  const clock = new LeapClock();
  const first = bench.idempotency({ leaseMs: longLeaseMs, clock }, redis, name);
  const late = gate<string>();
  const run = first.run("k", late.handler);
  run.catch(() => undefined);
  await Promise.race([late.entered, run]);
  proxy.blackhole();
  clock.leap(longLeaseMs);
  await bench.lapse();
  const second = bench.idempotency({ waitMs: 20_000 }, undefined, name);
  await second.run("k", () => "W2");
  await proxy.heal({ held: "drop" });
  return { second, late, run };
}

describe("AWS Powertools 2.35 on Redis", () => {
  it("a late worker overwrites the newer result: refused here", async () => {
    const { second, late, run } = await latecomer();
    late.open("W1-stale");
    expect(await rejection(run)).toBeInstanceOf(AttemptSupersededError);
    expect(await second.run("k", () => "W3")).toMatchObject({ value: "W2", replayed: true });
  });

  it("a late throw deletes the completed record, so that the effect runs again: refused here", async () => {
    const { second, late, run } = await latecomer();
    late.fail(new Error("late"));
    await rejection(run);
    expect(await second.run("k", () => "W3")).toMatchObject({ value: "W2", replayed: true });
  });

  it("concurrent duplicates without a runtime's context both run: one runs here", async () => {
    const idempotency = bench.idempotency();
    const first = gate<number>();
    let runs = 0;
    const call = (): Promise<unknown> =>
      idempotency.run("k", () => {
        runs += 1;
        return first.handler();
      });
    const both = [call(), rejection(call())];
    await first.entered;
    await both[1];
    first.open(1);
    await both[0];
    expect(runs).toBe(1);
  });

  it("an identical retry fails validation because the hash is dropped on completion: it replays here", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", { fingerprint: { a: 1 } }, () => 1);
    expect(await idempotency.run("k", { fingerprint: { a: 1 } }, () => 2)).toMatchObject({ value: 1, replayed: true });
  });

  it("a rejected duplicate frees the running one: a duplicate changes nothing here", async () => {
    const idempotency = bench.idempotency();
    const first = gate<number>();
    const running = idempotency.run("k", { fingerprint: 1 }, first.handler);
    await first.entered;
    await rejection(idempotency.run("k", { fingerprint: 1 }, () => 2));
    await rejection(idempotency.run("k", { fingerprint: 2 }, () => 2));
    expect((await idempotency.inspect("k"))?.kind).toBe("running");
    first.open(1);
    await running;
  });
});

describe("@node-idempotency/core", () => {
  it("the order of keys changes the fingerprint: it does not here", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", { fingerprint: { a: 1, b: 2 } }, () => 1);
    expect(await idempotency.run("k", { fingerprint: { b: 2, a: 1 } }, () => 2)).toMatchObject({ value: 1 });
  });

  it("bytes are corrupted: they come back as they were here", async () => {
    const idempotency = bench.idempotency();
    const bytes = Buffer.from([0, 255, 128, 10, 13]);
    await idempotency.run("k", () => ({ bytes }));
    expect((await idempotency.run("k", () => 0)).value).toEqual({ bytes });
  });

  it("a crash blocks the key for the whole retention: for one lease here", async () => {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const first = bench.idempotency({ leaseMs: longLeaseMs, retentionMs: 86_400_000 }, redis, name);
    const dead = gate<string>();
    first.run("k", dead.handler).catch(() => undefined);
    await dead.entered;
    proxy.blackhole();
    const second = bench.idempotency({}, undefined, name);
    expect(await rejection(second.run("k", () => "again"))).toMatchObject({ name: "InProgressError" });
    await bench.lapse();
    expect(await second.run("k", () => "again")).toMatchObject({ value: "again" });
  });

  it("another body while the first runs hears in-progress: mismatch here", async () => {
    const idempotency = bench.idempotency();
    const first = gate<number>();
    const running = idempotency.run("k", { fingerprint: 1 }, first.handler);
    await first.entered;
    expect(await rejection(idempotency.run("k", { fingerprint: 2 }, () => 2))).toBeInstanceOf(FingerprintMismatchError);
    first.open(1);
    await running;
  });
});

describe("hono-idempotency, express-idempotency and users' complaints", () => {
  it("the Redis store fails on ioredis: this one works on ioredis 6, and on 5", async () => {
    const { Redis } = await import("ioredis5");
    const redis = new Redis(bench.server.port, bench.server.host);
    const { Idempotency } = await import("../src/index.ts");
    await using idempotency = new Idempotency(redis, uniqueName(), { waitMs: 20_000 });
    const bytes = Buffer.from([0, 255]);
    const results = await Promise.all([1, 2, 3].map(() => idempotency.run("k", () => bytes)));
    expect(results.map(({ value }) => value)).toEqual([bytes, bytes, bytes]);
    redis.disconnect();
  });

  it("three days of conflicts after one unhandled rejection: a handler whose promise fails later leaves nothing behind here", async () => {
    const idempotency = bench.idempotency();
    await rejection(idempotency.run("k", () => pass(5).then(() => Promise.reject(new Error("late rejection")))));
    expect(await idempotency.run("k", () => "second")).toMatchObject({ value: "second", replayed: false });
  });

  it("a throw after the side effect frees the key and charges twice: the next attempt is told, and names the same charge", async () => {
    const idempotency = bench.idempotency();
    const charges = new Map<string, number>();
    const charge = (key: string): void => void charges.set(key, 100);
    await rejection(
      idempotency.run("k", ({ downstreamKey }) => {
        charge(downstreamKey);
        throw new Error("the database is down");
      }),
    );
    const { value } = await idempotency.run("k", ({ downstreamKey, recovered }) => {
      charge(downstreamKey);
      return recovered;
    });
    expect(value).toBe(true);
    expect(charges.size).toBe(1);
  });

  it("a transient error is frozen for a day: it is not stored here, unless onError says so", async () => {
    const idempotency = bench.idempotency();
    await rejection(idempotency.run("k", () => Promise.reject(new Error("503"))));
    expect(await idempotency.run("k", () => "fine")).toMatchObject({ value: "fine" });
    const storing = bench.idempotency({ onError: () => "store" });
    await rejection(storing.run("k", () => Promise.reject(new Error("declined"))));
    expect(await rejection(storing.run("k", () => "fine"))).toBeInstanceOf(StoredError);
  });

  it("replay across tenants: never here", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run({ key: "k", tenant: "a" }, () => "a");
    expect(await idempotency.run({ key: "k", tenant: "b" }, () => "b")).toMatchObject({ value: "b", replayed: false });
  });

  it("no way to list or clear stuck keys: both here", async () => {
    const idempotency = bench.idempotency({ onUnknown: "hold", onError: () => "unknown" });
    await rejection(idempotency.run("k", () => Promise.reject(new Error("?"))));
    expect((await all(idempotency.stuck({ olderThanMs: 0 }))).map(({ key }) => key)).toEqual(["k"]);
    await idempotency.forget("k");
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toEqual([]);
  });

  it("none renews its lease and none gives the handler a token: both here", async () => {
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, clock });
    const { value } = await idempotency.run("k", async (attempt) => {
      await renewals(clock, 4);
      attempt.assertHeld();
      return attempt.token;
    });
    expect(value).toBeGreaterThan(1_600_000_000_000_000);
  });
});

describe("ioredis and the process", () => {
  it("a command whose reply is lost is applied twice: a resent claim is one attempt here", async () => {
    const { proxy, redis } = await bench.proxied();
    const idempotency = bench.idempotency({}, redis);
    await idempotency.inspect("k");
    const rule = proxy.repeat(/^EVAL/i, { times: Infinity, keep: "last" });
    expect(await idempotency.run("k", ({ number }) => number)).toMatchObject({ value: 1 });
    rule.cancel();
    expect(rule.hits).toBeGreaterThanOrEqual(2);
    expect((await idempotency.inspect("k"))?.attempts).toBe(1);
  });

  it("after a pause every timer fires late and at once: assertHeld and the server agree that the attempt is over", async () => {
    const idempotency = bench.idempotency({ leaseMs: 100 });
    const outcome = await rejection(
      idempotency.run("k", (attempt) => {
        const untilMs = performance.now() + 200;
        while (performance.now() < untilMs);
        attempt.assertHeld();
        return "written";
      }),
    );
    expect(outcome).toMatchObject({ name: "OutcomeUnknownError" });
    await pollUntil("the lease has passed", async () => (await idempotency.inspect("k"))?.kind === "lapsed");
    expect(await idempotency.run("k", ({ recovered }) => recovered)).toMatchObject({ value: true });
  });

  it("a keyPrefix would move keys out of their slot: refused", () => {
    expect(() => bench.idempotency({}, bench.client({ keyPrefix: "app:" }))).toThrow(/keyPrefix/);
  });

  it("a long-lived signal collects listeners: none is left after a thousand runs", async () => {
    const { signal } = new AbortController();
    const idempotency = bench.idempotency({ waitMs: 60_000 });
    await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => idempotency.run(`k${index % 100}`, { signal }, () => pass(1))),
    );
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  it("ACLs apply inside scripts: the line of the README is enough", async () => {
    const { readFile } = await import("node:fs/promises");
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const line = /^ACL SETUSER (\S+) (.+)$/m.exec(readme)?.[2]?.split(" ") ?? [];
    expect(line.length).toBeGreaterThan(5);
    await bench.redis.call("ACL", "SETUSER", "app", "reset", ...line.map((word) => word.replace(/^>.*/, ">secret")));
    const redis = bench.client({ username: "app", password: "secret" });
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ waitMs: 60_000, onUnknown: "hold", leaseMs: longLeaseMs, clock }, redis);
    const first = gate<number>();
    const calls = [idempotency.run("k", first.handler), idempotency.run("k", first.handler)];
    await first.entered;
    await renewals(clock, 1);
    first.open(1);
    await Promise.all(calls);
    await rejection(idempotency.run("u", () => Promise.reject(new DOMException("x", "TimeoutError"))));
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toHaveLength(1);
    expect(await idempotency.resolve("u", { kind: "released" })).toEqual({ kind: "resolved" });
    await rejection(idempotency.run("u", () => Promise.reject(new Error("x"))));
    expect(await idempotency.forget("u")).toEqual({ kind: "forgotten" });
    const other = bench.idempotency({ leaseMs: 400 }, redis);
    await rejection(other.run("gone", () => Promise.reject(new DOMException("x", "TimeoutError"))));
    await bench.redis.del(...(await bench.redis.keys("*:record:*")));
    expect(await all(other.stuck({ olderThanMs: 0 }))).toEqual([]);
    await bench.redis.call("ACL", "DELUSER", "app");
  });
});

describe("an error that says it had no effect, after the attempt has had one", () => {
  const none = Object.assign(new Error("the bulkhead of the mailer is full"), { effect: "none" });
  const notMailed = (): Promise<never> => Promise.reject(none);
  const afterwards = (idempotency: Idempotency, fingerprint: number): Promise<{ value: boolean }> =>
    idempotency.run("k", { fingerprint }, ({ recovered }) => recovered);

  it("I8 counter-test: let through, it is taken for proof that the whole attempt had none, and the charge comes twice", async () => {
    const idempotency = bench.idempotency();
    let charges = 0;
    const pay = (): Promise<unknown> =>
      idempotency.run("k", { fingerprint: 1 }, async ({ recovered }) => {
        if (!recovered) charges += 1;
        if (charges === 1) await notMailed();
      });
    expect(await rejection(pay())).toBe(none);
    await pay();
    expect(charges).toBe(2);
  });

  it("I8 thrown again as the cause of an error that says nothing of its effect, it is not", async () => {
    const idempotency = bench.idempotency();
    let charges = 0;
    const pay = (): Promise<unknown> =>
      idempotency.run("k", { fingerprint: 1 }, async ({ recovered }) => {
        if (recovered) return;
        charges += 1;
        await notMailed().catch((cause: unknown) => {
          throw new Error("charged, but not mailed", { cause });
        });
      });
    expect(await rejection(pay())).toMatchObject({ message: "charged, but not mailed" });
    expect(await rejection(afterwards(idempotency, 2))).toBeInstanceOf(FingerprintMismatchError);
    await pay();
    expect(charges).toBe(1);
  });

  it("I8 called unknown by onError, it is not either: the key stays closed for its lease, and the next attempt is told", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, onError: () => "unknown" });
    expect(await rejection(idempotency.run("k", { fingerprint: 1 }, notMailed))).toMatchObject({ cause: none });
    await bench.lapse();
    expect((await afterwards(idempotency, 1)).value).toBe(true);
  });
});
