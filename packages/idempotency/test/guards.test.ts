/** K3: what is wrong with a key is noticed before anything is written, and memory that is out stops nobody who frees some. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { NewerFormatError, RedisRefusedError } from "@holdfast/core";
import { KeyLayout } from "../src/keys.ts";
import type { AttemptStore } from "../src/store.ts";
import { rejection, uniqueName, useBench } from "./fixture.ts";
import { print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, setField } = keyed;

/** Every call on one key. */
function callsOf(store: AttemptStore): readonly (() => Promise<unknown>)[] {
  const resolution = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
  return [
    () => store.claim({ place: keyed.place, owner: "b" }, print("f")),
    () => store.renew({ place: keyed.place, owner: "a" }),
    () => finish(store, "a", 1),
    () => store.release({ place: keyed.place, owner: "a" }, "none"),
    () => store.hold({ place: keyed.place, owner: "a" }),
    () => store.resolve(keyed.place, "op", resolution),
    () => store.forget(keyed.place, "op"),
    () => store.inspect(keyed.place),
  ];
}

describe("K3 guards come before writes", () => {
  it("K3 a key of another type is refused and left alone", async () => {
    await bench.redis.rpush(keyed.place.record, "foreign");
    const store = storeOf();
    const error = await rejection(store.claim({ place: keyed.place, owner: "a" }, print("f")));
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect((error as RedisRefusedError).effect).toBe("none");
    expect(await bench.redis.lrange(keyed.place.record, 0, -1)).toEqual(["foreign"]);
    expect(await bench.redis.exists(keyed.place.recovering)).toBe(0);
  });

  it.each([
    ["of another program", "foreign"],
    ["that lacks only what a record begins with", "1:2:recover:3:4:5:6::7:json:{}"],
  ])("K3 a text %s is refused by every script and left alone", async (_, text) => {
    await bench.redis.set(keyed.place.record, text);
    const store = storeOf();
    for (const call of callsOf(store)) {
      expect(await rejection(call())).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
    }
    expect(await bench.redis.get(keyed.place.record)).toBe(text);
    expect(await bench.redis.exists(keyed.place.recovering)).toBe(0);
  });

  it("K3 an index of another type is refused before the record changes", async () => {
    await bench.redis.set(keyed.place.recovering, "foreign");
    expect(await rejection(storeOf().claim({ place: keyed.place, owner: "a" }, print("f")))).toBeInstanceOf(
      RedisRefusedError,
    );
    expect(await bench.redis.exists(keyed.place.record)).toBe(0);
  });

  it("K3 an index of another type is refused before the next attempt is written over an earlier one", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.release({ place: keyed.place, owner: "a" }, "none");
    const before = await bench.redis.get(keyed.place.record);
    await bench.redis.set(keyed.place.recovering, "foreign");
    expect(await rejection(store.claim({ place: keyed.place, owner: "b" }, print("f")))).toMatchObject({
      reason: "WRONGTYPE",
      effect: "none",
    });
    expect(await bench.redis.get(keyed.place.record)).toBe(before);
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

  it("K3 a lease that is held until it is resolved is renewed, and kept, when memory is out", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const store = storeOf({ onUnknown: "hold" }, redis);
    await granted(store, "a");
    await redis.config("SET", "maxmemory", "1");
    expect(await store.renew({ place: keyed.place, owner: "a" })).toBe("renewed");
    expect(await store.hold({ place: keyed.place, owner: "a" })).toEqual({ kind: "ended" });
    expect(await redis.pttl(keyed.place.record)).toBe(-1);
    redis.disconnect();
  });

  it("a record of a newer version is left alone by every script", async () => {
    const store = storeOf();
    await granted(store, "a");
    await setField("version", "2");
    const before = await bench.redis.get(keyed.place.record);
    for (const call of callsOf(store)) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(NewerFormatError);
      expect(error).toMatchObject({ found: 2, supported: 1 });
    }
    expect(await bench.redis.get(keyed.place.record)).toEqual(before);
  });
});
