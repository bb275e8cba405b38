/** K1: every script is safe to repeat, and does nothing when it comes late. */
import { describe, expect, it } from "vitest";
import { KeyLayout } from "../src/keys.ts";
import type { AttemptStore } from "../src/store.ts";
import { pass, rejection, uniqueName, useBench } from "./fixture.ts";
import { print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;

/** Runs a script as it would arrive after its caller has given up. */
async function late(call: (store: AttemptStore) => Promise<unknown>): Promise<unknown> {
  const { proxy, redis } = await bench.proxied();
  // The server's time is known from here on.
  await storeOf({}, redis).claim(
    { place: new KeyLayout("holdfast", uniqueName()).place({ key: "warm" }), owner: "warm" },
    print("f"),
  );
  const held = proxy.hold("request", /^EVALSHA/i);
  const outcome = await rejection(call(storeOf({ commandTimeoutMs: 50 }, redis)));
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
    expect(await field("number")).toBe("1");
  });

  it("K1 a claim that arrives again after its attempt was released starts nothing", async () => {
    const store = storeOf();
    const first = await granted(store, "a");
    await store.release({ place: keyed.place, owner: "a" }, "none");
    expect(await granted(store, "a")).toEqual(first);
    expect(await field("state")).toBe("released");
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
    expect(await field("refused")).toBe("0");
  });

  it("K1 an operator's call that is repeated does not undo what came after it", async () => {
    const store = storeOf();
    await granted(store, "a");
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    await granted(store, "b");
    expect(await store.forget(keyed.place, "op1")).toBe("forgotten");
    expect(await field("state")).toBe("running");
    await store.hold({ place: keyed.place, owner: "b" });
    const released = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    await granted(store, "c");
    expect(await store.resolve(keyed.place, "op2", released)).toEqual({ kind: "resolved" });
    expect(await field("state")).toBe("running");
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
        await bench.redis.get(keyed.place.record),
        await bench.redis.zrange(keyed.place.recovering, "0", "-1"),
      ]);
    const before = await dump();
    await late(call);
    expect(await dump()).toBe(before);
  });
});
