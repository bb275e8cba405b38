/** Instances of one name with different settings, as in a rolling deploy or a worker beside an operator's tool: the shorter ends nothing early. */
import { describe, expect, it } from "vitest";
import { KeyLayout } from "../src/keys.ts";
import type { KeyPlace } from "../src/keys.ts";
import type { AttemptStore } from "../src/store.ts";
import { pass, useBench } from "./fixture.ts";
import { completed, print, useStoreBench } from "./store-bench.ts";

const bench = useBench();
const keyed = useStoreBench(bench);
const { storeOf, granted, finish, field } = keyed;

const long = (): AttemptStore => storeOf({ retentionMs: 600_000, leaseMs: 50 });
const shortMs = 60_000;
const short = (): AttemptStore => storeOf({ retentionMs: shortMs, leaseMs: 50 });
const released = { outcome: "released", effect: "possible", codecId: "", bytes: Buffer.alloc(0) } as const;

/** As if so much time had passed that what the short instance keeps by itself has expired. */
async function outlast(): Promise<void> {
  const { record } = keyed.place;
  const leftMs = await bench.redis.pttl(record);
  if (leftMs >= 0) await bench.redis.pexpire(record, leftMs - shortMs - 200);
}

describe("I2 an instance with a shorter retention lets no earlier attempt of another write", () => {
  it.each<[string, (store: AttemptStore, token: number) => Promise<unknown>]>([
    ["completed", (store, token) => finish(store, "b", token)],
    ["released", (store) => store.release({ place: keyed.place, owner: "b" }, "possible")],
    ["held", (store) => store.hold({ place: keyed.place, owner: "b" })],
    // What a lease of its own length allows for the answer is less than a machine stands still.
    ["renewed", () => storeOf({ retentionMs: shortMs }).renew({ place: keyed.place, owner: "b" })],
    ["left", async () => undefined],
  ])("after it has taken the key over and %s it", async (_, end) => {
    const first = await granted(long(), "a");
    await pass(80);
    const second = await granted(short(), "b");
    await end(short(), second.token);
    await outlast();
    expect(await finish(long(), "a", first.token)).toMatchObject({ kind: "refused" });
  });

  it("after it has run on the tombstone of another", async () => {
    const first = await granted(long(), "a");
    await long().forget(keyed.place, "op");
    await finish(short(), "b", (await granted(short(), "b")).token);
    await outlast();
    expect(await finish(long(), "a", first.token)).toMatchObject({ kind: "refused", state: "completed" });
  });

  it("after it has forgotten a key whose record Redis had lost", async () => {
    const first = await granted(long(), "a");
    await bench.redis.flushall();
    expect(await short().forget(keyed.place, "op")).toBe("absent");
    await outlast();
    expect(await finish(long(), "a", first.token)).toMatchObject({ kind: "refused", state: "forgotten" });
  });

  it("after it has run, as the first, on the tombstone of a key whose record Redis had lost", async () => {
    const first = await granted(long(), "a");
    await bench.redis.flushall();
    await short().forget(keyed.place, "op");
    const second = await granted(short(), "b");
    expect(second).toMatchObject({ number: 1, recovered: false });
    expect(await finish(short(), "b", second.token)).toEqual({ kind: "ended" });
    await outlast();
    expect(await finish(long(), "a", first.token)).toMatchObject({ kind: "refused", state: "completed" });
  });

  it.each(["resolved", "forgotten"])("after it has %s a key that had no time limit", async (how) => {
    const held = storeOf({ retentionMs: 600_000, leaseMs: 50, onUnknown: "hold" });
    const first = await granted(held, "a");
    await pass(80);
    if (how === "forgotten") await short().forget(keyed.place, "op");
    else expect(await short().resolve(keyed.place, "op", released)).toEqual({ kind: "resolved" });
    await outlast();
    expect(await finish(held, "a", first.token)).toMatchObject({ kind: "refused" });
  });

  it("after it has run without a time limit on a key that others remember for longer", async () => {
    const first = await granted(long(), "a");
    await pass(80);
    const heldShort = storeOf({ retentionMs: shortMs, onUnknown: "hold" });
    const second = await granted(heldShort, "b");
    await heldShort.finish(
      { place: keyed.place, owner: "b", token: second.token, number: 2, recovered: true, fingerprint: print("f") },
      completed('"x"'),
    );
    await outlast();
    expect(await finish(long(), "a", first.token)).toMatchObject({ kind: "refused" });
  });

  it("and an attempt that nobody has been before is forgotten after its own retention", async () => {
    const { token } = await granted(short(), "a");
    await finish(short(), "a", token);
    expect(await bench.redis.pttl(keyed.place.record)).toBeLessThanOrEqual(shortMs);
  });

  it("an attempt whose record is gone stores nothing once its token is older than any tombstone need be", async () => {
    const store = storeOf({ retentionMs: 7 * 86_400_000 });
    const { token } = await granted(store, "a");
    await bench.redis.flushall();
    expect(await finish(store, "a", token - 86_400_000_000)).toMatchObject({ kind: "refused", state: "absent" });
    expect(await finish(store, "a", token - 86_000_000_000)).toEqual({ kind: "ended" });
  });
});

describe("the index of unfinished keys", () => {
  /** Another key that the same index lists. */
  function neighbourOf(place: KeyPlace): KeyPlace {
    const layout = new KeyLayout("holdfast", place.resource.split(":")[1] as string);
    for (let number = 0; ; number += 1) {
      const other = layout.place({ key: `n${number}` });
      if (other.recovering === place.recovering) return other;
    }
  }

  it("keeps an attempt for as long as its own instance says, whatever the others say", async () => {
    const patient = storeOf({ attemptMaxMs: 86_400_000, leaseMs: 86_400_000 });
    const hasty = storeOf({ attemptMaxMs: 50, leaseMs: 50, retentionMs: shortMs });
    const neighbour = neighbourOf(keyed.place);
    await granted(patient, "a");
    // It began two hours ago.
    await bench.redis.zincrby(keyed.place.recovering, -7_200_000_000, keyed.place.member);
    for (let number = 0; number < 3; number += 1) {
      await hasty.claim({ place: neighbour, owner: `b${number}` }, print("f"));
      await hasty.release({ place: neighbour, owner: `b${number}` }, "none");
    }
    expect(await patient.list(keyed.place.recovering, 0, 0, 10)).toMatchObject([{ member: keyed.place.member }]);
    expect(await bench.redis.pttl(keyed.place.recovering)).toBeGreaterThan(2 * 86_400_000);
    // Not even once what is left of the index's time is short.
    const short = bench.redis.pexpire(keyed.place.recovering, 500);
    await Promise.all([short, hasty.claim({ place: neighbour, owner: "c" }, print("f"))]);
    expect(await patient.list(keyed.place.recovering, 0, 0, 10)).toHaveLength(2);
    expect(await bench.redis.pttl(keyed.place.recovering)).toBeGreaterThan(2 * 86_400_000);
    expect(await field("state")).toBe("running");
  });

  it("gives up what all of them have given up", async () => {
    const patient = storeOf({ attemptMaxMs: 60_000, leaseMs: 50, retentionMs: shortMs });
    const hasty = storeOf({ attemptMaxMs: 50, leaseMs: 50, retentionMs: shortMs });
    await granted(patient, "a");
    await bench.redis.zincrby(keyed.place.recovering, -120_100_000, keyed.place.member);
    await bench.redis.pexpire(keyed.place.recovering, 500);
    await hasty.claim({ place: neighbourOf(keyed.place), owner: "b" }, print("f"));
    expect(await patient.list(keyed.place.recovering, 0, 0, 10)).toMatchObject([
      { member: neighbourOf(keyed.place).member },
    ]);
  });
});
