import { describe, expect, it } from "vitest";
import { Work } from "../src/work.ts";

describe("the truth about subtasks", () => {
  it("counts what runs, and what ran on after its request was over", async () => {
    const work = new Work();
    const slow = Promise.withResolvers<void>();
    const quick = Promise.withResolvers<void>();
    const all = [work.follow("1", () => slow.promise), work.follow("1", () => quick.promise)];
    const other = work.follow("2", () => slow.promise);
    expect(work.read()).toEqual({ running: 3, mostAtOnce: 3, outlived: 0, wastedMs: 0 });
    quick.resolve();
    await all[1];
    work.requestIsOver("1");
    expect(work.read()).toMatchObject({ running: 2, mostAtOnce: 3, outlived: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    slow.resolve();
    await Promise.all([...all, other]);
    const { running, outlived, wastedMs } = work.read();
    expect([running, outlived]).toEqual([0, 1]);
    expect(wastedMs).toBeGreaterThanOrEqual(19);
  });

  it("counts a subtask that fails as ended", async () => {
    const work = new Work();
    await expect(work.follow("1", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(work.read().running).toBe(0);
  });
});
