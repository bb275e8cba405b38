import { describe, expect, it } from "vitest";
import { AdaptiveLimit } from "../src/adaptive-limit.ts";
import { hasPaidOff, Level } from "../src/level.ts";

interface Move {
  readonly limit: number;
  readonly because: string;
}

/** A limit of ten, from two to forty, with 100 calls offered per second. */
function limitOfTen(): { limit: AdaptiveLimit; moves: Move[] } {
  const moves: Move[] = [];
  const bounds = { concurrencyMin: 2, concurrencyMax: 40 };
  return { limit: new AdaptiveLimit(bounds, 10, (limit, because) => moves.push({ limit, because })), moves };
}

const perSecond = 100;

/** So many calls of `ranMs` each, one every 20 ms, with all permits in use. */
function calls(limit: AdaptiveLimit, count: number, fromMs: number, ranMs: number, how: "answered" | "timedOut"): void {
  for (let call = 1; call <= count; call += 1) {
    const nowMs = fromMs + ranMs + call * 20;
    limit.sawFull(fromMs);
    limit[how](nowMs - ranMs, ranMs, nowMs, perSecond);
  }
}

describe("the limit", () => {
  it("is raised by a fifth when the load needs more and one round of calls agrees about the time", () => {
    const { limit, moves } = limitOfTen();
    calls(limit, 9, 0, 200, "answered");
    expect(moves).toEqual([]);
    calls(limit, 1, 180, 200, "answered");
    expect(moves).toEqual([{ limit: 12, because: "the load needs more permits" }]);
  });

  it("is lowered after two rounds of timeouts, not after one, which may be a pause of this process", () => {
    const { limit, moves } = limitOfTen();
    calls(limit, 10, 0, 500, "timedOut");
    calls(limit, 10, 1_000, 50, "answered");
    calls(limit, 10, 2_000, 500, "timedOut");
    expect(moves).toEqual([]);
    calls(limit, 10, 3_000, 500, "timedOut");
    expect(moves).toEqual([{ limit: 7, because: "timeouts" }]);
  });

  it("judges a raise only by calls that were dispatched once all its permits were in use", () => {
    const { limit, moves } = limitOfTen();
    calls(limit, 10, 0, 200, "answered");
    // Eleven of twelve in use: these have met less than the raised load.
    limit.dispatched(11, 1_000);
    calls(limit, 11, 1_000, 200, "answered");
    limit.dispatched(12, 2_000);
    calls(limit, 20, 2_000, 240, "answered");
    expect(moves.at(-1)).toEqual({ limit: 10, because: "a raise brought no throughput" });
  });

  it("keeps a raise that the load does not fill", () => {
    const { limit, moves } = limitOfTen();
    calls(limit, 10, 0, 200, "answered");
    limit.dispatched(11, 1_000);
    calls(limit, 12, 1_000, 100, "answered");
    expect(moves.map((move) => move.limit)).toEqual([12]);
  });
});

describe("a level of the limit", () => {
  function level(limit: number, times: readonly number[], everyMs = 40): Level {
    const one = new Level(limit);
    for (const [index, ms] of times.entries()) one.add(ms, true, 1_000 + index * everyMs);
    return one;
  }
  const steady = [380, 370, 390, 385, 375, 380, 390, 370, 380, 380, 376, 384];

  it("says nothing before there is a round of calls, or when all ended at one moment", () => {
    expect(level(12, steady.slice(1)).all()).toBeUndefined();
    expect(level(12, steady, 1).all()).toBeUndefined();
    expect(level(12, steady).all()).toMatchObject({ calls: 12, meanMs: 380, answered: 1 });
  });

  it("forgets what was before a change of the dependency as soon as a round agrees", () => {
    const changed = level(8, [80, 80, 80, 80, ...steady.slice(0, 8)]);
    expect(changed.latest(({ variance }) => variance < 0.001)).toMatchObject({ calls: 8, meanMs: 380 });
  });

  it("tells room from saturation, and leaves open what chance may have decided", () => {
    const base = level(12, steady).all();
    const against = (limit: number, times: readonly number[]): boolean | undefined => {
      const raised = level(limit, times).all();
      if (base === undefined || raised === undefined) throw new Error("no round of calls");
      return hasPaidOff(base, raised);
    };
    const same = [...steady, 381, 379];
    expect(against(14, same)).toBe(true);
    expect(
      against(
        14,
        same.map((ms) => (ms * 14) / 12),
      ),
    ).toBe(false);
    expect(
      against(
        14,
        same.map((ms, index) => (index % 4 === 0 ? ms * 1.4 : ms)),
      ),
    ).toBeUndefined();
  });
});
