/** Who may change a key: the attempt that the record names, and operators when there is none. */
import { describe, expect, it } from "vitest";
import { pass, useBench } from "./fixture.ts";
import { completed, print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;

describe("ownership", () => {
  it("only the owner of the running attempt renews, finishes, releases or holds", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    const refused = { kind: "refused", state: "running", currentToken: token };
    expect(await store.renew({ place: keyed.place, owner: "b" })).toBe("lost");
    expect(await finish(store, "b", token + 1)).toEqual(refused);
    expect(await store.release({ place: keyed.place, owner: "b" }, "none")).toEqual(refused);
    expect(await store.hold({ place: keyed.place, owner: "b" })).toEqual(refused);
    expect(await field("refused")).toBe("3");
    expect(await field("state")).toBe("running");
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
    const store = storeOf({ retentionMs: 600_000 });
    const { token } = await granted(store, "a");
    await bench.redis.flushall();
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.claim({ place: keyed.place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
    await bench.redis.flushall();
    expect(await finish(store, "a", token - 600_000_000)).toEqual({
      kind: "refused",
      state: "absent",
      currentToken: 0,
    });
  });

  it("a key that is settled or busy is not resolved, and one that is unknown to Redis neither", async () => {
    const store = storeOf();
    const resolution = { ...completed('"y"'), outcome: "completed", effect: "possible" } as const;
    expect(await store.resolve(keyed.place, "op1", resolution)).toEqual({ kind: "absent" });
    const { token } = await granted(store, "a");
    expect(await store.resolve(keyed.place, "op2", resolution)).toMatchObject({ kind: "busy" });
    await finish(store, "a", token);
    expect(await store.resolve(keyed.place, "op3", resolution)).toEqual({ kind: "settled", outcome: "completed" });
    expect(await field("result")).toBe('"x"');
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
