/** What is wrong with one key of a batch, or with the whole batch, does no harm to the callers of the others. */
import { inspect } from "node:util";
import { Connection } from "@holdfast/core";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { KeyLayout } from "../src/keys.ts";
import type { KeyPlace } from "../src/keys.ts";
import { resolveIdempotencyOptions } from "../src/options.ts";
import type { IdempotencyOptions } from "../src/index.ts";
import { AttemptStore } from "../src/store.ts";
import { rejection, uniqueName, useBench } from "./fixture.ts";
import { completed, print } from "./store-bench.ts";

const bench = useBench();

/** Keys of a name of their own, and their store, which knows the server's time. */
async function placesOf(
  keys: readonly string[],
  options: IdempotencyOptions = {},
  redis: Redis = bench.redis,
): Promise<{ store: AttemptStore; places: readonly KeyPlace[] }> {
  const layout = new KeyLayout("holdfast", uniqueName());
  const store = new AttemptStore(
    Connection.of(redis),
    resolveIdempotencyOptions({ commandTimeoutMs: 60_000, ...options }),
  );
  await store.claim({ place: layout.place({ key: "warm" }), owner: "warm" }, "");
  return { store, places: keys.map((key) => layout.place({ key })) };
}

/** Claims, or stores an outcome, for all places in one tick. */
function together(places: readonly KeyPlace[], call: (place: KeyPlace) => Promise<unknown>): Promise<unknown[]> {
  return Promise.all(places.map((place) => call(place).catch((error: unknown) => error)));
}

const claimOf =
  (store: AttemptStore, owner: string) =>
  (place: KeyPlace): Promise<unknown> =>
    store.claim({ place, owner }, print("f"));

const finishOf =
  (store: AttemptStore, owner: string) =>
  (place: KeyPlace): Promise<unknown> =>
    store.finish({ place, owner, token: 1, number: 1, recovered: false, fingerprint: print("f") }, completed('"x"'));

describe("a record that breaks off", () => {
  const heads = [
    "1:running:1764360000000000:print:owner:",
    "1:running:1764360000000000:print:owner::0:recover:::::::::",
  ];

  it.each(heads)("K3 after %s fails its own claim and outcome, and those of no other key", async (broken) => {
    const { store, places } = await placesOf(["first", "broken", "last"]);
    const [, { record }] = places as [KeyPlace, KeyPlace];
    await bench.redis.set(record, broken.replace("print", print("f")));
    const refused = { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" };
    const granted = { kind: "granted" };
    expect(await together(places, claimOf(store, "a"))).toMatchObject([granted, refused, granted]);
    const ended = { kind: "ended" };
    expect(await together(places, finishOf(store, "a"))).toMatchObject([ended, refused, ended]);
    expect(await bench.redis.get(record)).toBe(broken.replace("print", print("f")));
  });

  it("K3 is no record of a newer version to those who ask alone", async () => {
    const { store, places } = await placesOf(["broken"]);
    const [place] = places as [KeyPlace];
    await bench.redis.set(place.record, heads[0] as string);
    const refused = { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" };
    expect(await rejection(store.renew({ place, owner: "a" }))).toMatchObject(refused);
    expect(await rejection(store.forget(place, "op"))).toMatchObject(refused);
  });
});

describe("an index of another type", () => {
  it("K3 that a claim only tidies fails nobody's claim", async () => {
    const { store, places } = await placesOf(["a", "b"], { onUnknown: "hold" });
    const [{ recovering }] = places as [KeyPlace];
    await bench.redis.set(recovering, "foreign");
    const [first] = await together(places, claimOf(store, "a"));
    expect(first).toMatchObject({ kind: "granted" });
  });
});

describe("a server that is out of memory", () => {
  it("K8 and whose clock went back, replays what is stored, and tells who is busy", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const { store, places } = await placesOf(["stepped", "stored"], {}, redis);
    const [stepped, stored] = places as [KeyPlace, KeyPlace];
    await together(places, claimOf(store, "a"));
    await finishOf(store, "a")(stored);
    const fields = ((await redis.get(stepped.record)) ?? "").split(":");
    fields[9] = String((Date.now() + 3_600_000) * 1_000);
    await redis.set(stepped.record, fields.join(":"));
    await redis.config("SET", "maxmemory", "1");
    expect(await together(places, claimOf(store, "b"))).toMatchObject([{ kind: "busy" }, { kind: "stored" }]);
    redis.disconnect();
  });
});

describe("a refusal of the whole", () => {
  it("I7 hands nobody the command, in which the keys and results of others stand", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    redis.on("error", () => undefined);
    const { store, places } = await placesOf(["mine", "theirs"], {}, redis);
    await redis.config("SET", "replica-serve-stale-data", "no");
    await redis.call("REPLICAOF", "127.0.0.1", "1");
    for (const call of [claimOf(store, "a"), finishOf(store, "a")]) {
      const [mine] = await together(places, call);
      expect(mine).toMatchObject({ name: "RedisUnavailableError", reason: "MASTERDOWN" });
      // As a log writes it, with all causes.
      expect(inspect(mine, { depth: 9, maxArrayLength: null })).not.toContain("theirs");
    }
    redis.disconnect();
  });

  it("I9 in the middle of a script is answered to each key by itself", async () => {
    await bench.redis.call(
      ...(["ACL", "SETUSER", "unwriting", "reset", "on", ">secret", "~*", "&*", "+@all", "-set"] as const),
    );
    const { store, places } = await placesOf(["stored", "running"], {});
    const [stored] = places as [KeyPlace];
    await together(places, claimOf(store, "a"));
    await finishOf(store, "a")(stored);
    const redis = bench.client({ username: "unwriting", password: "secret" });
    const other = new AttemptStore(Connection.of(redis), resolveIdempotencyOptions({}));
    await other.inspect(stored);
    // The one that runs is taken out of the index before its record is written.
    expect(await together(places, finishOf(other, "a"))).toMatchObject([
      { kind: "ended" },
      { name: "RedisRefusedError", reason: "NOPERM" },
    ]);
    await bench.redis.call("ACL", "DELUSER", "unwriting");
  });
});

describe("long results", () => {
  it("that are asked for in one tick come one by one when they are too many for one answer", async () => {
    const { store, places } = await placesOf(["a", "b", "c", "d"]);
    await together(places, claimOf(store, "a"));
    const long = "x".repeat(600_000);
    const identity = { owner: "a", token: 1, number: 1, recovered: false, fingerprint: print("f") };
    await together(places, (place) => store.finish({ ...identity, place }, completed(long)));
    await bench.redis.config("RESETSTAT");
    const replays = await together(places, claimOf(store, "b"));
    expect(replays.map((replay) => (replay as { result: Buffer }).result.length)).toEqual(places.map(() => 600_000));
    const stats = await bench.redis.info("commandstats");
    // One answer holds one of them; the other three are asked for again.
    expect(Number(/cmdstat_evalsha:calls=(\d+)/u.exec(stats)?.[1])).toBe(4);
  });
});

describe("a payload", () => {
  it("I3 is remembered when the next attempt has none to compare", async () => {
    const { store, places } = await placesOf(["k"]);
    const [place] = places as [KeyPlace];
    await store.claim({ place, owner: "a" }, print("f"));
    await store.release({ place, owner: "a" }, "possible");
    expect(await store.claim({ place, owner: "b" }, "")).toMatchObject({ kind: "granted" });
    expect(await store.claim({ place, owner: "c" }, print("g"))).toEqual({ kind: "mismatch" });
    expect(await store.claim({ place, owner: "b" }, "")).toMatchObject({ kind: "granted" });
  });
});
