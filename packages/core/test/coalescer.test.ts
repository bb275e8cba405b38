/** Calls of one tick, sent together. */
import { describe, expect, it } from "vitest";
import { ambientRemainingMs, Coalescer, withAmbientDeadline } from "../src/index.ts";

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

  it("sends under nobody's deadline, for the batch belongs to many", async () => {
    const remaining: number[] = [];
    const coalescer = new Coalescer<number, number>(10, async (items) => {
      remaining.push(ambientRemainingMs());
      return items;
    });
    await withAmbientDeadline(5, () => coalescer.add(1));
    expect(remaining).toEqual([Infinity]);
  });
});
