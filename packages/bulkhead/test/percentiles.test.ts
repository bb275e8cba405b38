import { describe, expect, it } from "vitest";
import { RecentDurations } from "../src/percentiles.ts";

describe("recent durations", () => {
  it("keep each of up to 100 samples in ten milliseconds, and of more the first ones", () => {
    const durations = new RecentDurations(0);
    for (let sample = 0; sample < 100; sample += 1) durations.add(5, 1);
    expect(durations.read(1).samples).toBe(100);
    for (let sample = 0; sample < 1_000; sample += 1) durations.add(900, 2);
    expect(durations.read(2)).toMatchObject({ samples: 100, maxMs: expect.closeTo(5, 0) as number });
    durations.add(50, 11);
    expect(durations.read(11)).toMatchObject({ samples: 101, maxMs: expect.closeTo(50, 0) as number });
  });

  it("forget what is older than one to two periods, also after a long silence", () => {
    const durations = new RecentDurations(0);
    durations.add(5, 0);
    expect(durations.read(29_999).samples).toBe(1);
    expect(durations.read(45_000).samples).toBe(1);
    expect(durations.read(75_001).samples).toBe(0);
    durations.add(7, 75_002);
    expect(durations.read(500_000).samples).toBe(0);
  });
});
