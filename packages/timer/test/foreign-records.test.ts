/** What another program, or a later format, has written where a timer's record should be (T6). */
import { UnexpectedReplyError } from "@holdfast/core";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { shardKeys } from "../src/keys.ts";
import * as lua from "../src/scripts.generated.ts";
import { Catcher, Desk, failure, freshName } from "./client.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();
const texts = ["{}", "", "z", "s0123456789", "s0123456789-5", "s0123456789-5 op", "t01234567890 op {}"];

describe("a record that is none", () => {
  it("T6 is given up after its attempts, with what it says as its payload, and delays nobody else", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(shard.server.url, name);
    const ids = texts.map((_, index) => `bad-${index}`);
    await timer.scheduleMany([...ids, "good"].map((id) => ({ id, afterMs: 0 })));
    for (const [index, text] of texts.entries())
      await shard.redis.hset(shardKeys("holdfast", name, 0).data, ids[index] as string, text);
    const catcher = new Catcher();
    const backoff = { baseMs: 1, delayMaxMs: 1, jitter: 0 };
    const worker = timer.worker({ attemptsMax: 2, pollMs: 20, backoff }, catcher.handle);
    await worker.start();
    await pollUntil("they are dead", () => worker.counts().dead === texts.length);
    await worker.idle();
    expect(catcher.ids).toEqual(["good"]);
    const letters = await timer.dead.list();
    expect(letters.map(({ id }) => id).toSorted()).toEqual(ids);
    expect(letters.every(({ attempts, error }) => attempts === 2 && error.includes("undecodable"))).toBe(true);
    expect(worker.counts()).toMatchObject({ fired: 1, retried: texts.length });
    expect(desk.events.filter(({ type }) => type === "trouble")).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T2 T6 does not keep the timers of a crashed worker from coming back, whatever has become of it", async () => {
    await shard.set("retried", "cancelled", "last", "followed", "good");
    await shard.lease();
    for (const id of ["retried", "cancelled", "last", "followed"]) await shard.redis.hset(shard.keys.data, id, "{}");
    await shard.redis.hset(shard.keys.notes, "cancelled", "0000-c", "last", "0009s-");
    await shard.schedule("k+60000", "followed");
    await shard.redis.hset(shard.keys.notes, "followed", "0009s-");
    await shard.lapse();
    const reap = { limit: 10, attemptsMax: 3, leaseUs: 1_000_000, error: "gone" };
    const [, , lapsed, buried] = await shard.call(lua.reap, reap);
    expect([lapsed, (buried as string[]).toSorted()]).toEqual([5, ["followed", "last"]]);
    const { timers } = await shard.claim(10, 9);
    expect(timers.filter((_, at) => at % 2 === 0).toSorted()).toEqual(["good", "retried"]);
    expect(await shard.redis.zscore(shard.keys.due, "followed")).not.toBeNull();
  });

  it("T5 T6 can be cancelled, together with others, and the next one under its id is one", async () => {
    await shard.set("bad", "good");
    await shard.redis.hset(shard.keys.data, "bad", "{}");
    expect((await shard.call(lua.cancel, {}, ["bad", "1", "good", "2"]))[2]).toEqual(["cancelled", "cancelled"]);
    expect(await shard.redis.exists(shard.keys.due, shard.keys.data)).toBe(0);
  });

  it("T6 is replaced when that is asked for; who wants to keep it is refused, and nobody else of the same tick", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(shard.server.url, name);
    await timer.schedule({ id: "bad", afterMs: 60_000 });
    await shard.redis.hset(shardKeys("holdfast", name, 0).data, "bad", "{}");
    const [refused, other] = await Promise.all([
      failure(timer.schedule({ id: "bad", afterMs: 60_000 })),
      timer.schedule({ id: "good", afterMs: 60_000 }),
    ]);
    expect(refused).toBeInstanceOf(UnexpectedReplyError);
    expect(other.kind).toBe("scheduled");
    const replaced = await timer.schedule({ id: "bad", afterMs: 60_000, ifExists: "replace" });
    expect(replaced.kind).toBe("replaced");
    expect(await timer.get("bad")).toMatchObject({ generation: replaced.generation });
  });

  it("T6 among the dead letters is shown as it is, and does not hide the others", async () => {
    await shard.set("good", "bad");
    const { leaseEnd, token } = await shard.lease();
    const died = ["good", "bad"].flatMap((id) => [id, leaseEnd, token, `9${id}`, "dead", 2, "why"]);
    await shard.call(lua.settle, {}, died);
    await shard.redis.hset(shard.keys.deadData, "bad", "{}");
    const letters = (await shard.call(lua.listDead, { limit: 10 }))[1] as string[][];
    const shown = letters.map(([id, , attempts, error]) => `${id} ${attempts} ${error}`).toSorted();
    expect(shown).toEqual(["bad 0 ", "good 2 why"]);
    expect(letters.find(([id]) => id === "bad")?.[4]).toBe("{}");
  });
});
