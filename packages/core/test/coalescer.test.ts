/** Calls of one tick, sent together. */
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { ambientRemainingMs, Coalescer, sleep, withAmbientDeadline } from "../src/index.ts";

/** Answers each item with its double and keeps the batches. */
function doubling(itemsMax: number) {
  const batches: number[][] = [];
  const coalescer = new Coalescer<number, number>(itemsMax, async (items) => {
    batches.push([...items]);
    return items.map((item) => item * 2);
  });
  return { batches, coalescer };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("a coalescer", () => {
  it.each([
    [1, 3, [[0], [1], [2]]],
    [2, 5, [[0, 1], [2, 3], [4]]],
    [100, 3, [[0, 1, 2]]],
  ])("of at most %i sends %i calls of one tick in batches, each with its own result", async (itemsMax, calls, sent) => {
    const { batches, coalescer } = doubling(itemsMax);
    const results = await Promise.all(numbers(calls).map((item) => coalescer.add(item)));
    expect(results).toEqual(numbers(calls).map((item) => item * 2));
    expect(batches).toEqual(sent);
  });

  it("sends what comes in later ticks later", async () => {
    const { batches, coalescer } = doubling(10);
    await coalescer.add(1);
    await Promise.all([coalescer.add(2), coalescer.add(3)]);
    expect(batches).toEqual([[1], [2, 3]]);
  });

  it("rejects the one call whose result is an error, and no other one of its batch", async () => {
    const odd = new Error("odd");
    const coalescer = new Coalescer<number, number>(10, async (items) =>
      items.map((item) => (item % 2 === 1 ? odd : item)),
    );
    expect(await Promise.allSettled([2, 3, 4].map((item) => coalescer.add(item)))).toEqual([
      { status: "fulfilled", value: 2 },
      { status: "rejected", reason: odd },
      { status: "fulfilled", value: 4 },
    ]);
  });

  it.each<[string, () => Promise<readonly number[]>]>([
    ["rejects", () => Promise.reject(new Error("lost"))],
    [
      "throws at once",
      () => {
        throw new Error("lost");
      },
    ],
  ])("rejects each call of a batch whose sending %s, and goes on", async (_, fail) => {
    let isBroken = true;
    const coalescer = new Coalescer<number, number>(10, async (items) => (isBroken ? fail() : items));
    const throwing = new Coalescer<number, number>(10, fail);
    for (const each of [coalescer, throwing]) {
      const results = await Promise.allSettled([each.add(1), each.add(2)]);
      expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    }
    isBroken = false;
    expect(await coalescer.add(3)).toBe(3);
  });

  it("rejects the calls for which there is no result instead of answering undefined", async () => {
    const coalescer = new Coalescer<number, number>(10, async () => [7]);
    const results = await Promise.allSettled([coalescer.add(1), coalescer.add(2)]);
    expect(results).toMatchObject([
      { status: "fulfilled", value: 7 },
      { status: "rejected", reason: { message: "a batch of 2 items got 1 results" } },
    ]);
  });

  describe("under ambient deadlines", () => {
    /** A coalescer whose batches stay under way, and what the deadline of each left. */
    function setting() {
      const clock = new ManualClock();
      const leftMs: number[] = [];
      const coalescer = new Coalescer<number, number>(10, async (items) => {
        leftMs.push(ambientRemainingMs());
        await sleep(clock, 1_000);
        return items;
      });
      const within = (timeoutMs: number, item: number): Promise<unknown> =>
        withAmbientDeadline(timeoutMs, () => coalescer.add(item), clock).catch((error: unknown) => error);
      return { clock, leftMs, coalescer, within };
    }

    it("sends under the latest of its callers' deadlines, and under none when one of them has none", async () => {
      const { clock, leftMs, coalescer, within } = setting();
      const all = [within(20, 1), within(50, 2)];
      await clock.advance(0);
      all.push(within(20, 3), coalescer.add(4), within(50, 5));
      await clock.advance(1_000);
      await Promise.all(all);
      expect(leftMs).toEqual([50, Infinity]);
    });

    it("a caller leaves at its own deadline, the others get their answers, and no timer is left", async () => {
      const { clock, coalescer, within } = setting();
      const settled: number[] = [];
      const hurried = within(20, 1);
      const patient = coalescer.add(2);
      void hurried.then(() => settled.push(clock.monotonicMs()));
      const startMs = clock.monotonicMs();
      await clock.advance(1_000);
      expect(await hurried).toMatchObject({ name: "OutcomeUnknownError", effect: "possible" });
      expect([await patient, settled[0]]).toEqual([2, startMs + 20]);
      const answered = within(2_000, 3);
      void coalescer.add(4);
      await clock.advance(1_000);
      expect([await answered, clock.pendingTimers]).toEqual([3, 0]);
    });

    it("a deadline that has passed hurries nobody", async () => {
      const { clock, leftMs, within } = setting();
      const late = within(0, 1);
      await clock.advance(1_000);
      expect([await late, leftMs]).toEqual([1, [Infinity]]);
    });
  });
});
