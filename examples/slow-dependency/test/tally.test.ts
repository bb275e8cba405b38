import { describe, expect, it } from "vitest";
import { goodput, Tally, together } from "../src/tally.ts";

describe("what callers have seen", () => {
  it("counts what was answered in time, not what failed, came late or never came", async () => {
    const tally = new Tally(30);
    tally.count(() => Promise.resolve());
    tally.count(() => Promise.reject(new Error("no")));
    const late = new Promise<void>((resolve) => setTimeout(resolve, 60));
    tally.count(() => late);
    tally.count(() => new Promise(() => undefined));
    await late;
    const figures = tally.read();
    expect(figures).toMatchObject({ offered: 4, inTime: 1 });
    expect(figures.longestMs).toBeGreaterThanOrEqual(59);
    expect(goodput(figures)).toBe(0.25);
  });

  it("takes the time of requests, the failed ones too, without the wait for their turn", async () => {
    const tally = new Tally(1_000);
    const answer = Promise.withResolvers<void>();
    const request = tally.time(() => answer.promise);
    await new Promise((resolve) => setTimeout(resolve, 30));
    answer.reject(new Error("no"));
    await expect(request).rejects.toThrow("no");
    await tally.time(() => Promise.resolve());
    expect(tally.read().requestMs).toBeGreaterThanOrEqual(29);
  });

  it("adds up what several callers have seen", () => {
    const figures = together([
      { offered: 3, inTime: 1, longestMs: 20, requestMs: 19 },
      { offered: 1, inTime: 1, longestMs: 70, requestMs: 12 },
    ]);
    expect(figures).toEqual({ offered: 4, inTime: 2, longestMs: 70, requestMs: 19 });
    expect(goodput(together([]))).toBe(1);
  });
});
