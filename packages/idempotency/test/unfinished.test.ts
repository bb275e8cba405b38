/** The index of unfinished keys changes in the same step as the records. */
import { describe, expect, it } from "vitest";
import { KeyLayout } from "../src/keys.ts";
import { pass, uniqueName, useBench } from "./fixture.ts";
import { print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish } = keyed;

describe("the index of unfinished keys", () => {
  const index = async (): Promise<string[][]> => [
    await bench.redis.zrange(keyed.place.recovering, "0", "+inf", "BYSCORE"),
    await bench.redis.zrange(keyed.place.held, "0", "+inf", "BYSCORE"),
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

  it("forgets them also when many claims travel together", async () => {
    const store = storeOf({ retentionMs: 1_000, leaseMs: 50, attemptMaxMs: 50 });
    const other = new KeyLayout("holdfast", uniqueName()).place({ key: "other" });
    await bench.redis.zadd(keyed.place.recovering, 1, "ancient:key");
    await Promise.all([granted(store, "a"), store.claim({ place: other, owner: "b" }, print("f"))]);
    expect(await index()).toEqual([[keyed.place.member], []]);
    expect(await bench.redis.zrange(other.recovering, "0", "+inf", "BYSCORE")).toEqual([other.member]);
    expect(await bench.redis.pttl(other.recovering)).toBeGreaterThan(0);
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
