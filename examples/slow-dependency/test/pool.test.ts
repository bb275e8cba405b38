import { describe, expect, it } from "vitest";
import { Semaphore } from "../src/pool.ts";

describe("the semaphore of the usual code", () => {
  it("runs so many at once, and the others in the order in which they came", async () => {
    const semaphore = new Semaphore(2);
    const begun: number[] = [];
    const ends = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
    const all = ends.map(({ promise }, index) =>
      semaphore.run(() => {
        begun.push(index);
        return promise;
      }),
    );
    expect(begun).toEqual([0, 1]);
    ends[1]?.resolve();
    await all[1];
    expect(begun).toEqual([0, 1, 2]);
    for (const { resolve } of ends) resolve();
    await Promise.all(all);
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it("gives the permit on when a call fails", async () => {
    const semaphore = new Semaphore(1);
    const failed = semaphore.run(() => Promise.reject(new Error("no")));
    const next = semaphore.run(() => Promise.resolve("yes"));
    await expect(failed).rejects.toThrow("no");
    expect(await next).toBe("yes");
  });
});
