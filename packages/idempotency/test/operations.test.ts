/** K1 for calls that are repeated after something else has been done to the key. */
import { describe, expect, it } from "vitest";
import { useBench } from "./fixture.ts";
import { completed, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;
const released = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;

describe("K1 a repetition gets its first answer, whatever has been done since", () => {
  it("K1 a forget that is repeated after another one does not remove what was stored since", async () => {
    const store = storeOf();
    await granted(store, "a");
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    expect(await store.forget(keyed.place, "op2")).toBe("absent");
    const { token } = await granted(store, "b");
    await finish(store, "b", token);
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    expect(await store.forget(keyed.place, "op2")).toBe("absent");
    expect(await field("state")).toBe("completed");
  });

  it("K1 a resolve that is repeated after a forget, or another resolve, gets its first answer and settles nothing", async () => {
    const store = storeOf({ onUnknown: "hold" });
    const hold = async (owner: string): Promise<void> => {
      await granted(store, owner);
      await store.hold({ place: keyed.place, owner });
    };
    await hold("a");
    expect(await store.resolve(keyed.place, "op1", released)).toEqual({ kind: "resolved" });
    await hold("b");
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    await hold("c");
    expect(await store.resolve(keyed.place, "op1", released)).toEqual({ kind: "resolved" });
    expect(await field("state")).toBe("unknown");
    expect(await store.forget(keyed.place, "op3")).toBe("forgotten");
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    expect(await field("state")).toBe("forgotten");
  });

  it("K1 what was done is remembered for as long as a request can arrive late, also when keys are forgotten sooner", async () => {
    const store = storeOf({ retentionMs: 1_000, commandTimeoutMs: 60_000 });
    const leftMs = (): Promise<number> => bench.redis.pttl(keyed.place.record);
    const { token } = await granted(store, "a");
    await finish(store, "a", token);
    expect(await leftMs()).toBeGreaterThan(30_000);
    await store.forget(keyed.place, "op");
    expect(await leftMs()).toBeGreaterThan(30_000);
  });

  it("K1 an id of one kind of call means nothing to another kind", async () => {
    const store = storeOf({ onUnknown: "hold" });
    await granted(store, "a");
    await store.hold({ place: keyed.place, owner: "a" });
    expect(
      await store.resolve(keyed.place, "op", { ...completed('"y"'), outcome: "completed", effect: "possible" }),
    ).toEqual({
      kind: "resolved",
    });
    expect(await store.forget(keyed.place, "op")).toBe("forgotten");
    expect(await field("state")).toBe("forgotten");
  });

  it("K1 a release that is repeated when the next attempt runs has released", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.release({ place: keyed.place, owner: "a" }, "possible");
    await granted(store, "b");
    expect(await store.release({ place: keyed.place, owner: "a" }, "possible")).toEqual({ kind: "ended" });
    expect(await field("state")).toBe("running");
    expect(await field("refused")).toBe("0");
  });

  it("K1 a hold that is repeated when an operator has freed the key has held", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.hold({ place: keyed.place, owner: "a" });
    await store.resolve(keyed.place, "op", released);
    await granted(store, "b");
    expect(await store.hold({ place: keyed.place, owner: "a" })).toEqual({ kind: "ended" });
    expect(await field("state")).toBe("running");
  });

  it("K1 the last 16 are remembered, and names that hold every separator", async () => {
    const store = storeOf();
    const odd = "}f:{%op}r";
    await granted(store, "a");
    expect(await store.forget(keyed.place, odd)).toBe("forgotten");
    for (let number = 1; number < 16; number += 1) await store.forget(keyed.place, `op${number}`);
    const { token } = await granted(store, "b");
    await finish(store, "b", token);
    expect(await store.forget(keyed.place, odd)).toBe("forgotten");
    expect(await field("state")).toBe("completed");
    expect(await store.forget(keyed.place, "op16")).toBe("forgotten");
    expect((await field("operations"))?.match(/\}/gu)).toHaveLength(16);
  });
});
