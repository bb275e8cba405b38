/**
 * A shard knows a time before which no lease ends. Until then a burst is read without its scores, which cost more than all else of that
 * look; from then on each score is asked whether it is a lease that ended, since such a timer is reap's.
 */
import { describe, expect, it } from "vitest";
import { LiveFiring } from "../src/firing.ts";
import type { Batch } from "../src/firing.ts";
import { decodeRecord } from "../src/record.ts";
import type { TimerRecord } from "../src/record.ts";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();

const many = Array.from({ length: 6 }, (_, index) => `t${index}`);
const idsOf = (timers: readonly string[]): string[] => timers.filter((_, at) => at % 2 === 0);
const endsUs = (): Promise<string | null> => shard.redis.hget(shard.keys.state, "endsUs");
const acknowledge = (leaseEnd: string, ...ids: string[]): Promise<unknown> =>
  shard.claimNext(0, [leaseEnd, ids.length, ...ids, ...ids.map(() => "")], ids.length);

/** A worker whose leases are this long claims one timer. */
async function claimOne(id: string, leaseUs: number): Promise<string> {
  await shard.schedule("k@1000", id);
  const request = { lane: `${id}.0`, sequence: 1, limit: 10, leaseUs, ackCount: 0 };
  const reply = (await shard.call(lua.claim, request)) as unknown as string;
  return reply.split("\n")[3] as string;
}

/** A lease ended while the shard's clock moved on, and then there is a burst; what the next claim takes, and its trouble. */
async function claimAfterLapse(): Promise<{ readonly ids: readonly string[]; readonly trouble: string }> {
  await claimOne("vanished", 50_000);
  const endUs = Number(await endsUs());
  await shard.schedule("k@1000", ...many);
  // More is due than a look at a few shows, so that the burst is read whole.
  for (let nowUs = 0; nowUs <= endUs;) nowUs = (await shard.claimNext(0)).nowUs;
  const { timers, trouble } = await shard.claimNext(10);
  return { ids: idsOf(timers), trouble };
}

describe("the time before which no lease ends", () => {
  it("is known of a shard that was founded where nothing was", async () => {
    expect(await endsUs()).toBe("0");
    const leaseEnd = await claimOne("a", 1_000_000);
    expect(await endsUs()).toBe(leaseEnd);
  });

  it("is not put off while a lease stands, comes nearer with a shorter one, and begins anew when none stands", async () => {
    const first = await claimOne("a", 60_000_000);
    await claimOne("b", 90_000_000);
    expect(await endsUs()).toBe(first);
    const shorter = await claimOne("c", 1_000_000);
    expect(await endsUs()).toBe(shorter);
    await acknowledge(shorter, "c");
    await claimOne("d", 90_000_000);
    expect(await endsUs()).toBe(shorter);
    for (const id of ["a", "b", "d"]) {
      const score = await shard.redis.zscore(shard.keys.due, id);
      await acknowledge(String(score), id);
    }
    const anew = await claimOne("e", 90_000_000);
    expect(await endsUs()).toBe(anew);
  });

  it("T4 T6 has passed when a lease has: its timer is left to reap, and its attempt is not forgotten", async () => {
    const { ids, trouble } = await claimAfterLapse();
    expect(ids).toEqual(many);
    expect(trouble).toBe("lapsed");
  });

  it("T6 counter-test: who does not look at the time delivers what a vanished worker had as if nobody had had it", async () => {
    await withAlteredLua(lua.claim, "nowUs >= tonumber(shard[10])", "false", async () => {
      const { ids, trouble } = await claimAfterLapse();
      expect(ids).toContain("vanished");
      expect(trouble).toBe("");
    });
  });

  it("T6 is not known of a shard whose state was lost beside its timers: nobody counted their leases", async () => {
    await claimOne("vanished", 50_000_000);
    await shard.redis.del(shard.keys.state);
    await shard.found();
    expect(await endsUs()).toBeNull();
    await shard.schedule("k@1000", ...many);
    await acknowledge(await claimOne("a", 60_000_000), "a", ...many);
    expect(await endsUs()).toBeNull();
    // The leases of before end, unlike the shard's time, which nothing moves here.
    await shard.redis.call("zadd", [shard.keys.due, "1000001", "vanished"]);
    await shard.schedule("k@1000", ...many);
    const { timers, trouble } = await shard.claimNext(10);
    expect(idsOf(timers)).toEqual(many);
    expect(trouble).toBe("lapsed");
  });

  it("T6 T11 is not known any more when a move brings a lease that nobody has counted, but is beside dead letters", async () => {
    const leaseUs = 1_000_001;
    await shard.call(lua.store, { part: "dead" }, ["letter", leaseUs, "body", "", ""]);
    expect(await endsUs()).toBe("0");
    await shard.call(lua.store, { part: "due" }, ["pending", 2_000_000, "body", "", ""]);
    expect(await endsUs()).toBe("0");
    await shard.call(lua.store, { part: "due" }, ["vanished", leaseUs, "body", "", ""]);
    expect(await endsUs()).toBeNull();
    await shard.schedule("k@1000", ...many);
    const { timers, trouble } = await shard.claimNext(10);
    expect(idsOf(timers)).not.toContain("vanished");
    expect(trouble).toBe("lapsed");
  });

  it("T11 is known of a shard that a move has founded, unless something was there", async () => {
    const move = (step: string): Promise<unknown[]> =>
      shard.call(lua.move, { step, from: 1, to: 2, floor: "1000000000000000" });
    await shard.redis.del(shard.keys.state);
    await move("seal");
    expect(await endsUs()).toBe("0");
    await shard.redis.del(shard.keys.state);
    await shard.redis.zadd(shard.keys.due, 1_000_001, "vanished");
    await move("seal");
    expect(await endsUs()).toBeNull();
  });
});

describe("deadlines that a claim tells", () => {
  it("are none where the records say them, and the scores where one was retried or hastened", async () => {
    await shard.schedule("k@1000", ...many);
    const first = await shard.claimNext(10);
    expect(first.deadlines).toEqual([]);
    await shard.schedule("k+600000", "hastened");
    await shard.call(lua.hasten, { id: "hastened", operation: "1" });
    const dueUs = Number(await shard.redis.zscore(shard.keys.due, "hastened"));
    const next = await shard.claimNext(10);
    expect(idsOf(next.timers)).toEqual(["hastened"]);
    expect(next.deadlines.map(Number)).toEqual([dueUs]);
    expect(next.notes).toEqual(["0000--"]);
  });

  /** The holder of the only timer vanishes; how it is delivered next. */
  async function afterCrash(): Promise<{ firing: LiveFiring<unknown>; record: TimerRecord; nowMs: number }> {
    await shard.claimNext(10);
    await shard.lapse();
    await shard.call(lua.reap, { limit: 10, attemptsMax: 3, leaseUs: 50_000_000, error: "gone" });
    const { timers, deadlines, notes, nowUs } = await shard.claimNext(10);
    const [id, text] = timers as [string, string];
    const record = decodeRecord(text) as TimerRecord;
    const batch = { nowUs, join: () => undefined } as unknown as Batch;
    const firing = new LiveFiring<unknown>(batch, id, Number(deadlines[0]) / 1_000, record, notes[0] ?? null);
    return { firing, record, nowMs: nowUs / 1_000 };
  }

  it("are not those of the records, which would be to come, for who was hastened and whose holder vanished", async () => {
    await shard.schedule("k+600000", "hastened");
    await shard.call(lua.hasten, { id: "hastened", operation: "1" });
    const { firing, record, nowMs } = await afterCrash();
    expect(record.dueAtMs).toBeGreaterThan(nowMs);
    expect(firing.dueAtMs).toBeLessThanOrEqual(nowMs);
    expect(firing.latenessMs).toBeGreaterThanOrEqual(0);
  });

  it("are those of the records, and not when the crash was noticed, for who was not hastened", async () => {
    await shard.set("plain");
    const { firing, nowMs } = await afterCrash();
    expect(firing.dueAtMs).toBe(1_000);
    expect(firing.latenessMs).toBe(nowMs - 1_000);
  });

  it("K7 are told again with a repeat, each with its timer, of those that are still leased", async () => {
    await shard.schedule("k+600000", "a", "b", "c");
    for (const id of ["a", "b", "c"]) await shard.call(lua.hasten, { id, operation: id });
    const request = { lane: "w.0", sequence: 1, limit: 10, leaseUs: 50_000_000, ackCount: 0 };
    const first = await shard.call(lua.claim, request);
    expect(await shard.call(lua.claim, request)).toEqual(first.with(1, expect.any(String)).with(4, expect.any(String)));
    await shard.redis.call("zadd", [shard.keys.due, "2000", "b"]);
    const [ids, deadlines] = [first[7] as string[], first[9] as string[]];
    const kept = [0, 1, 2].filter((index) => ids[index] !== "b");
    const again = await shard.call(lua.claim, request);
    expect(again[7]).toEqual(kept.map((index) => ids[index]));
    expect(again[9]).toEqual(kept.map((index) => deadlines[index]));
  });
});
