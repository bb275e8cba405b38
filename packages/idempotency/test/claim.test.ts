import { ClockSkew, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { pass, useBench } from "./fixture.ts";
import { completed, print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
/** Takes Linux and a C compiler. */
const clockCanBeSet = await ClockSkew.available();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field, setField } = keyed;

describe("what a claim is told", () => {
  it("I3 another payload is a mismatch in every state that remembers one", async () => {
    const store = storeOf();
    const other = (): Promise<unknown> => store.claim({ place: keyed.place, owner: "b" }, print("g"));
    const { token } = await granted(store, "a");
    expect(await other()).toEqual({ kind: "mismatch" });
    await store.hold({ place: keyed.place, owner: "a" });
    expect(await other()).toEqual({ kind: "mismatch" });
    await store.forget(keyed.place, "op");
    await granted(store, "c");
    await finish(store, "c", token);
    expect(await other()).toEqual({ kind: "mismatch" });
    expect(await store.claim({ place: keyed.place, owner: "d" }, "")).toMatchObject({ kind: "stored" });
  });

  it("a key that is held is unknown at once, and not only after the lease", async () => {
    const store = storeOf({ onUnknown: "hold", leaseMs: 60_000 });
    await granted(store, "a");
    await store.hold({ place: keyed.place, owner: "a" });
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toEqual({ kind: "unknown" });
    expect(await bench.redis.pttl(keyed.place.record)).toBe(-1);
  });

  it("I4 a key that is held has no time limit from its claim on", async () => {
    await granted(storeOf({ onUnknown: "hold" }), "a");
    expect(await bench.redis.pttl(keyed.place.record)).toBe(-1);
  });

  it("I4 any other key is remembered for its lease and its retention, from its claim on", async () => {
    const { token } = await granted(storeOf({ leaseMs: 20_000, retentionMs: 100_000 }), "a");
    const endsAtMs = await bench.redis.pexpiretime(keyed.place.record);
    expect(endsAtMs).toBe(Math.floor(token / 1_000) + 120_000);
  });

  it("I4 a dead attempt's key is held when its own rule says so, whatever the next caller's is", async () => {
    await granted(storeOf({ onUnknown: "hold", leaseMs: 50 }), "a");
    await pass(80);
    expect(await storeOf().claim({ place: keyed.place, owner: "b" }, print("f"))).toEqual({ kind: "unknown" });
  });

  it("a renewed lease lasts its length again", async () => {
    const leaseMs = 60_000;
    const store = storeOf({ leaseMs });
    await granted(store, "a");
    const [seconds, micros] = await bench.redis.time();
    expect(await store.renew({ place: keyed.place, owner: "a" })).toBe("renewed");
    // It counts from now on.
    expect(Number(await field("leased"))).toBeGreaterThanOrEqual(Number(seconds) * 1e6 + Number(micros));
    expect(await field("length")).toBe(String(leaseMs * 1_000));
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "busy" });
  });
});

describe("K5 tokens", () => {
  it("K5 grow with every grant, 16 digits and exact, and outlive the outcome in their key's expiry", async () => {
    const store = storeOf({ retentionMs: 10_000 });
    const tokens: number[] = [];
    for (let round = 0; round < 50; round += 1) {
      const { token } = await granted(store, `a${round}`);
      tokens.push(token);
      await store.release({ place: keyed.place, owner: `a${round}` }, "none");
    }
    expect(tokens).toEqual([...new Set(tokens)].toSorted((left, right) => left - right));
    expect(await field("token")).toBe(String(tokens.at(-1)));
  });

  it("K5 a token ahead of the clock is followed by a higher one, and is remembered for its time plus the retention", async () => {
    const store = storeOf({ retentionMs: 10_000, leaseMs: 50 });
    const { token } = await granted(store, "a");
    await store.release({ place: keyed.place, owner: "a" }, "none");
    const ahead = token + 3_600_000_000;
    await setField("token", String(ahead));
    const next = await granted(store, "b");
    expect(next.token).toBe(ahead + 1);
    expect(await bench.redis.pexpiretime(keyed.place.record)).toBeGreaterThanOrEqual(
      Math.floor(ahead / 1_000) + 10_000,
    );
    await store.release({ place: keyed.place, owner: "b" }, "none");
    expect(await bench.redis.pexpiretime(keyed.place.record)).toBeGreaterThanOrEqual(
      Math.floor(ahead / 1_000) + 10_000,
    );
  });

  it("K5 a tombstone is kept as long as the record that it replaces would have been", async () => {
    await granted(storeOf({ retentionMs: 100_000 }), "a");
    await storeOf({ retentionMs: 1_000 }).forget(keyed.place, "op");
    expect(await bench.redis.pttl(keyed.place.record)).toBeGreaterThan(90_000);
  });
});

describe("K8 a clock that goes back", () => {
  it("K8 a lease that is longer than its length ends at its length from first sight", async () => {
    const store = storeOf({ leaseMs: 200 });
    await granted(store, "a");
    await setField("leased", String((Date.now() + 3_600_000) * 1_000));
    const seen = await store.claim({ place: keyed.place, owner: "b" }, print("f"));
    expect(seen).toMatchObject({ kind: "busy" });
    expect((seen as { remainingMs: number }).remainingMs).toBeLessThanOrEqual(200);
    await pass(230);
    expect((await granted(store, "b")).recovered).toBe(true);
  });

  it("K8 an operator sees it the same way", async () => {
    const store = storeOf({ leaseMs: 200 });
    await granted(store, "a");
    await setField("leased", String((Date.now() + 3_600_000) * 1_000));
    const resolution = { ...completed('"y"'), outcome: "completed", effect: "possible" } as const;
    expect(await store.resolve(keyed.place, "op1", resolution)).toMatchObject({ kind: "busy" });
    await pass(230);
    expect(await store.resolve(keyed.place, "op2", resolution)).toEqual({ kind: "resolved" });
  });

  it.runIf(clockCanBeSet)(
    "K8 on a server whose clock really goes back an hour, a dead attempt blocks for one lease",
    async () => {
      await using skew = await ClockSkew.create();
      await using server = await RedisServer.start({ env: skew.env });
      const redis = new Redis(server.url);
      const store = storeOf({ leaseMs: 200 }, redis);
      const first = await granted(store, "a");
      await skew.set(-3_600_000);
      // What is known of the server's time is wrong now, as it would be for up to half a minute; a new connection asks again.
      redis.disconnect(true);
      expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "busy" });
      await pass(230);
      expect((await granted(store, "b")).token).toBeGreaterThan(first.token);
      redis.disconnect();
    },
  );
});
