/** What a claim takes and when it says to look again, however much is due: by one look, or by two more in a burst. */
import { expect, it } from "vitest";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();

const due = (count: number): string[] => Array.from({ length: count }, (_, index) => `t${index}`);
const counts = [0, 1, 2, 3, 4, 5, 9];
const limits = [1, 2, 3, 4, 10];
/** A claim where so many are due and one comes later, beside so many acknowledgements that are not its own. */
async function look(
  count: number,
  limit: number,
  ackCount: number,
): Promise<{ readonly taken: readonly string[]; readonly next: "now" | "later" | undefined }> {
  await shard.renew();
  if (count > 0) await shard.schedule("k@1000", ...due(count));
  await shard.schedule("k+600000", "later");
  const laterUs = Number(await shard.redis.zscore(shard.keys.due, "later"));
  const strangers = Array.from({ length: ackCount }, (_, index) => `u${index}`);
  const acks = ackCount > 0 ? ["5", ackCount, ...strangers, ...strangers.map(() => "")] : [];
  const { timers, nextUs, nowUs, refused } = await shard.claimNext(limit, acks, ackCount);
  expect(refused).toEqual(strangers);
  const next = nextUs === laterUs ? "later" : nextUs === nowUs ? "now" : undefined;
  return { taken: timers.filter((_, at) => at % 2 === 0), next };
}

it.each(counts)(
  "T1 T10 with %i due, for every limit: no more than that, in order, and when to look again",
  async (count) => {
    for (const limit of limits)
      for (const ackCount of [0, 4]) {
        const { taken, next } = await look(count, limit, ackCount);
        expect(taken).toEqual(due(count).slice(0, limit));
        if (count !== limit) expect(next).toBe(count > limit ? "now" : "later");
        else expect(["now", "later"]).toContain(next);
      }
  },
);

it("T1 counter-test: without the time as their end both looks take what is not due", async () => {
  await withAlteredLua(lua.claim, `"-inf", nowText, "BYSCORE"`, `"-inf", "+inf", "BYSCORE"`, async () => {
    for (const ackCount of [0, 4]) expect((await look(5, 10, ackCount)).taken).toEqual([...due(5), "later"]);
  });
  await withAlteredLua(lua.claim, "<= nowUs do", "<= math.huge do", async () => {
    expect((await look(1, 10, 0)).taken).toEqual(["t0", "later"]);
  });
});

it.each([1, 6])(
  "a lease that ended is left to reap and takes no timer's place in the answer, with %i due",
  async (count) => {
    await shard.schedule("k@1000", "lapsed");
    await shard.claimNext(10);
    await shard.lapse();
    await shard.schedule("k@2000", ...due(count));
    const { timers, nextUs, trouble } = await shard.claimNext(10);
    expect(timers.filter((_, at) => at % 2 === 0)).toEqual(due(count));
    expect(trouble).toBe("lapsed");
    expect(nextUs).toBeUndefined();
  },
);
