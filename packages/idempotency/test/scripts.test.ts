import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { NewerFormatError, RedisRefusedError } from "@holdfast/core";
import { KeyLayout } from "../src/keys.ts";
import type { AttemptStore } from "../src/store.ts";
import { pass, rejection, uniqueName, useBench } from "./fixture.ts";
import { completed, print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;

/** Runs a script as it would arrive after its caller has given up. */
async function late(call: (store: AttemptStore) => Promise<unknown>): Promise<unknown> {
  const { proxy, redis } = await bench.proxied();
  const store = storeOf({ commandTimeoutMs: 50 }, redis);
  // The server's time is known from here on.
  await store.claim(
    { place: new KeyLayout("holdfast", uniqueName()).place({ key: "warm" }), owner: "warm" },
    print("f"),
  );
  const held = proxy.hold("request", /^EVALSHA/i);
  const outcome = await rejection(call(store));
  await pass(20);
  held.release();
  await redis.ping();
  return outcome;
}

describe("K1 every script is safe to repeat", () => {
  it("K1 a claim that is repeated gets its first answer and counts once", async () => {
    const store = storeOf();
    const first = await granted(store, "a");
    expect(await granted(store, "a")).toEqual(first);
    expect(await field("n")).toBe("1");
  });

  it("K1 a claim that arrives again after its attempt was released starts nothing", async () => {
    const store = storeOf();
    const first = await granted(store, "a");
    await store.release({ place: keyed.place, owner: "a" }, "none");
    expect(await granted(store, "a")).toEqual(first);
    expect(await field("s")).toBe("released");
  });

  it("K1 ends that are repeated get their first answer", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    await store.forget(keyed.place, "f1");
    await granted(store, "b");
    expect(await store.release({ place: keyed.place, owner: "b" }, "possible")).toEqual({ kind: "ended" });
    expect(await store.release({ place: keyed.place, owner: "b" }, "possible")).toEqual({ kind: "ended" });
    await granted(store, "c");
    expect(await store.hold({ place: keyed.place, owner: "c" })).toEqual({ kind: "ended" });
    expect(await store.hold({ place: keyed.place, owner: "c" })).toEqual({ kind: "ended" });
    expect(await field("x")).toBeNull();
  });

  it("K1 an operator's call that is repeated does not undo what came after it", async () => {
    const store = storeOf();
    await granted(store, "a");
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    await granted(store, "b");
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    expect(await field("s")).toBe("running");
    await store.hold({ place: keyed.place, owner: "b" });
    const released = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    await granted(store, "c");
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    expect(await field("s")).toBe("running");
    const fresh = new KeyLayout("holdfast", uniqueName()).place({ key: "none" });
    expect(await store.forget(fresh, "op3")).toBe("absent");
    expect(await store.forget(fresh, "op3")).toBe("absent");
  });

  it.each<[string, (store: AttemptStore) => Promise<unknown>]>([
    ["claim", (store) => store.claim({ place: keyed.place, owner: "late" }, print("f"))],
    ["renew", (store) => store.renew({ place: keyed.place, owner: "a" })],
    ["finish", (store) => finish(store, "a", 1)],
    ["release", (store) => store.release({ place: keyed.place, owner: "a" }, "none")],
    ["hold", (store) => store.hold({ place: keyed.place, owner: "a" })],
    ["forget", (store) => store.forget(keyed.place, "late")],
    ["prune", (store) => store.prune(keyed.place, keyed.place)],
    [
      "resolve",
      (store) =>
        store.resolve(keyed.place, "late", {
          outcome: "released",
          effect: "none",
          codecId: "",
          bytes: Buffer.alloc(0),
        }),
    ],
  ])("K1 a late %s writes nothing", async (verb, call) => {
    const setup = storeOf({ leaseMs: 60_000 });
    if (verb !== "claim") await granted(setup, "a");
    if (verb === "resolve") await setup.hold({ place: keyed.place, owner: "a" });
    if (verb === "prune") await bench.redis.del(keyed.place.record);
    const dump = async (): Promise<string> =>
      JSON.stringify([
        await bench.redis.hgetall(keyed.place.record),
        await bench.redis.zrange(keyed.place.recovering, "0", "-1"),
      ]);
    const before = await dump();
    await late(call);
    expect(await dump()).toBe(before);
  });
});

describe("K3 guards come before writes", () => {
  it("K3 a key of another type is refused and left alone", async () => {
    await bench.redis.set(keyed.place.record, "foreign");
    const store = storeOf();
    const error = await rejection(store.claim({ place: keyed.place, owner: "a" }, print("f")));
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect((error as RedisRefusedError).effect).toBe("none");
    expect(await bench.redis.get(keyed.place.record)).toBe("foreign");
    expect(await bench.redis.exists(keyed.place.recovering)).toBe(0);
  });

  it("K3 an index of another type is refused before the record changes", async () => {
    await bench.redis.set(keyed.place.recovering, "foreign");
    expect(await rejection(storeOf().claim({ place: keyed.place, owner: "a" }, print("f")))).toBeInstanceOf(
      RedisRefusedError,
    );
    expect(await bench.redis.exists(keyed.place.record)).toBe(0);
  });

  it("K3 outcomes are stored, leases renewed and keys freed when memory is out", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const store = storeOf({}, redis);
    const place2 = new KeyLayout("holdfast", uniqueName()).place({ key: "k2" });
    const place3 = new KeyLayout("holdfast", uniqueName()).place({ key: "k3" });
    const { token } = await granted(store, "a");
    await store.claim({ place: place2, owner: "b" }, print("f"));
    await store.claim({ place: place3, owner: "c" }, print("f"));
    await redis.config("SET", "maxmemory", "1");
    expect(await rejection(redis.set("x", "y"))).toMatchObject({ message: expect.stringContaining("OOM") as string });
    expect(await store.renew({ place: keyed.place, owner: "a" })).toBe("renewed");
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.release({ place: place2, owner: "b" }, "none")).toEqual({ kind: "ended" });
    expect(await store.hold({ place: place3, owner: "c" })).toEqual({ kind: "ended" });
    expect(await finish(store, "nobody", token)).toMatchObject({ kind: "refused" });
    expect(await store.forget(keyed.place, "op")).toBe("forgotten");
    expect(await rejection(store.claim({ place: keyed.place, owner: "d" }, print("f")))).toMatchObject({
      reason: "OOM",
      effect: "none",
    });
    redis.disconnect();
  });

  it("a record of a newer version is left alone by every script", async () => {
    const store = storeOf();
    await granted(store, "a");
    await bench.redis.hset(keyed.place.record, "v", "2");
    const before = await bench.redis.hgetall(keyed.place.record);
    const resolution = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
    const calls: (() => Promise<unknown>)[] = [
      () => store.claim({ place: keyed.place, owner: "b" }, print("f")),
      () => store.renew({ place: keyed.place, owner: "a" }),
      () => finish(store, "a", 1),
      () => store.release({ place: keyed.place, owner: "a" }, "none"),
      () => store.hold({ place: keyed.place, owner: "a" }),
      () => store.resolve(keyed.place, "op", resolution),
      () => store.forget(keyed.place, "op"),
      () => store.inspect(keyed.place),
    ];
    for (const call of calls) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(NewerFormatError);
      expect(error).toMatchObject({ found: 2, supported: 1 });
    }
    expect(await bench.redis.hgetall(keyed.place.record)).toEqual(before);
  });
});

describe("ownership", () => {
  it("only the owner of the running attempt renews, finishes, releases or holds", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    const refused = { kind: "refused", state: "running", currentToken: token };
    expect(await store.renew({ place: keyed.place, owner: "b" })).toBe("lost");
    expect(await finish(store, "b", token + 1)).toEqual(refused);
    expect(await store.release({ place: keyed.place, owner: "b" }, "none")).toEqual(refused);
    expect(await store.hold({ place: keyed.place, owner: "b" })).toEqual(refused);
    expect(await field("x")).toBe("3");
    expect(await field("s")).toBe("running");
  });

  it("an attempt that has ended is not renewed", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.hold({ place: keyed.place, owner: "a" });
    expect(await store.renew({ place: keyed.place, owner: "a" })).toBe("lost");
    expect(await finish(store, "a", 1)).toMatchObject({ kind: "refused", state: "unknown" });
  });

  it("an end of an attempt that nobody knows is refused", async () => {
    const store = storeOf();
    expect(await store.release({ place: keyed.place, owner: "a" }, "none")).toEqual({
      kind: "refused",
      state: "absent",
      currentToken: 0,
    });
    expect(await store.hold({ place: keyed.place, owner: "a" })).toEqual({
      kind: "refused",
      state: "absent",
      currentToken: 0,
    });
    expect(await bench.redis.exists(keyed.place.record)).toBe(0);
  });

  it("a result whose record Redis has lost is stored, unless its token is older than a tombstone would be", async () => {
    const store = storeOf({ retentionMs: 1_000 });
    const { token } = await granted(store, "a");
    await bench.redis.flushall();
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
    await bench.redis.flushall();
    expect(await finish(store, "a", token - 1_000_000)).toEqual({ kind: "refused", state: "absent", currentToken: 0 });
  });

  it("a key that is settled or busy is not resolved, and one that is unknown to Redis neither", async () => {
    const store = storeOf();
    const resolution = { ...completed('"y"'), outcome: "completed", effect: "possible" } as const;
    expect(await store.resolve(keyed.place, "op1", resolution)).toEqual({ kind: "absent" });
    const { token } = await granted(store, "a");
    expect(await store.resolve(keyed.place, "op2", resolution)).toMatchObject({ kind: "busy" });
    await finish(store, "a", token);
    expect(await store.resolve(keyed.place, "op3", resolution)).toEqual({ kind: "settled", outcome: "completed" });
    expect(await field("r")).toBe('"x"');
    await store.forget(keyed.place, "op4");
    expect(await store.resolve(keyed.place, "op5", resolution)).toEqual({ kind: "absent" });
  });

  it("an operator's decision shuts out the attempt that it overrules", async () => {
    const store = storeOf({ leaseMs: 50, onUnknown: "hold" });
    const { token } = await granted(store, "a");
    await pass(80);
    expect(
      await store.resolve(keyed.place, "op", { ...completed('"y"'), outcome: "completed", effect: "possible" }),
    ).toEqual({
      kind: "resolved",
    });
    expect(await finish(store, "a", token)).toMatchObject({ kind: "refused", state: "completed" });
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
  });
});

describe("the index of unfinished keys", () => {
  const index = async (): Promise<string[][]> => [
    await bench.redis.zrange(keyed.place.recovering, "0", "-1"),
    await bench.redis.zrange(keyed.place.held, "0", "-1"),
  ];

  it.each(["recover", "hold"] as const)(
    "lists a key from its claim to its end, with onUnknown %s",
    async (onUnknown) => {
      const store = storeOf({ onUnknown });
      const listed = onUnknown === "recover" ? [[keyed.place.member], []] : [[], [keyed.place.member]];
      const { token } = await granted(store, "a");
      expect(await index()).toEqual(listed);
      await store.hold({ place: keyed.place, owner: "a" });
      expect(await index()).toEqual(listed);
      await store.forget(keyed.place, "op1");
      expect(await index()).toEqual([[], []]);
      await granted(store, "b");
      await store.release({ place: keyed.place, owner: "b" }, "none");
      expect(await index()).toEqual([[], []]);
      await granted(store, "c");
      expect(await finish(store, "c", token)).toEqual({ kind: "ended" });
      expect(await index()).toEqual([[], []]);
    },
  );

  it("changes lists when the next attempt follows another rule", async () => {
    await granted(storeOf({ leaseMs: 50 }), "a");
    await pass(80);
    await granted(storeOf({ onUnknown: "hold" }), "b");
    expect(await index()).toEqual([[], [keyed.place.member]]);
  });

  it("forgets keys whose records have expired long ago", async () => {
    const store = storeOf({ retentionMs: 1_000, leaseMs: 50, attemptMaxMs: 50 });
    await bench.redis.zadd(keyed.place.recovering, 1, "ancient:key");
    await granted(store, "a");
    expect(await index()).toEqual([[keyed.place.member], []]);
    expect(await bench.redis.pttl(keyed.place.recovering)).toBeGreaterThan(0);
  });

  it("gives up an entry whose record is gone, and keeps one whose record is there", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.prune(keyed.place, keyed.place);
    expect(await index()).toEqual([[keyed.place.member], []]);
    await bench.redis.del(keyed.place.record);
    await store.prune(keyed.place, keyed.place);
    expect(await index()).toEqual([[], []]);
  });
});
