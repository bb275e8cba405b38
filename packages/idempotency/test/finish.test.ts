/** What finish meets when something else has been at its keys, or memory is out. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { rejection, useBench } from "./fixture.ts";
import { print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;

describe("K3 an outcome is stored as a whole or not at all", () => {
  it("K3 a record of another type is refused and left alone", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    await bench.redis.del(keyed.place.record);
    await bench.redis.rpush(keyed.place.record, "foreign");
    expect(await rejection(finish(store, "a", token))).toMatchObject({ reason: "WRONGTYPE", effect: "none" });
    expect(await bench.redis.lrange(keyed.place.record, 0, -1)).toEqual(["foreign"]);
  });

  it("K3 an index of another type is refused before the record changes", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    await bench.redis.set(keyed.place.recovering, "foreign");
    expect(await rejection(finish(store, "a", token))).toMatchObject({ reason: "WRONGTYPE", effect: "none" });
    expect(await field("state")).toBe("running");
  });

  it("K3 an outcome is stored when memory is out, also when nothing is there to be freed", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const store = storeOf({}, redis);
    const { token } = await granted(store, "a");
    await redis.flushall();
    await redis.config("SET", "maxmemory", "1");
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
    redis.disconnect();
  });

  it("K5 an outcome under a token ahead of the clock is kept for the token's time plus the retention", async () => {
    const store = storeOf({ retentionMs: 10_000 });
    const { token } = await granted(store, "a");
    const ahead = token + 3_600_000_000;
    await keyed.setField("token", String(ahead));
    expect(await finish(store, "a", ahead)).toEqual({ kind: "ended" });
    expect(await bench.redis.pexpiretime(keyed.place.record)).toBeGreaterThanOrEqual(
      Math.floor(ahead / 1_000) + 10_000,
    );
  });
});
