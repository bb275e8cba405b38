/** The guard in memory. */
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { FenceGate, StaleTokenError } from "../src/guard/index.ts";

function gateAt(options: { guardRetentionMs?: number; clockSkewMaxMs?: number } = {}) {
  const clock = new ManualClock();
  return {
    clock,
    gate: new FenceGate({ clock, guardRetentionMs: 60_000, clockSkewMaxMs: 0, ...options }),
    nowUs: () => clock.wallMs() * 1_000,
  };
}

describe("FenceGate", () => {
  it("runs what a token that is not stale asks for, and nothing for a stale one", () => {
    const { gate, nowUs } = gateAt();
    const written: string[] = [];
    const fenced = (token: number) => ({ resource: "lock:a", token });
    expect(gate.run(fenced(nowUs()), () => written.push("first"))).toBe(1);
    gate.run(fenced(nowUs() + 1), () => written.push("second"));
    expect(() => gate.run(fenced(nowUs()), () => written.push("stale"))).toThrow(StaleTokenError);
    gate.run(fenced(nowUs() + 1), () => written.push("again"));
    expect(written).toEqual(["first", "second", "again"]);
    expect(gate.highest("lock:a")).toBe(nowUs() + 1);
    expect(gate.highest("lock:b")).toBeNull();
  });

  it("compares tokens of one resource only", () => {
    const { gate, nowUs } = gateAt();
    gate.advance({ resource: "lock:a", token: nowUs() + 5 });
    gate.advance({ resource: "lock:b", token: nowUs() });
  });

  it("refuses a token older than it remembers, so that a restarted service accepts no zombie", () => {
    const { gate, nowUs } = gateAt();
    const old = { resource: "lock:a", token: nowUs() - 60_001_000 };
    expect(() => gate.advance(old)).toThrow(expect.objectContaining({ reason: "too-old" }) as Error);
    expect(() => gateAt({ clockSkewMaxMs: 1_000 }).gate.advance(old)).not.toThrow();
  });

  it("forgets what is refused for its age anyway: memory is bounded by the tokens of one retention", async () => {
    const { gate, clock, nowUs } = gateAt();
    for (let index = 0; index < 1_000; index += 1) gate.advance({ resource: `lock:${index}`, token: nowUs() });
    expect(gate.size).toBe(1_000);
    await clock.advance(60_001);
    for (let index = 0; index < 600; index += 1) gate.advance({ resource: "lock:live", token: nowUs() });
    expect(gate.size).toBe(1);
    expect(() => gate.advance({ resource: "lock:7", token: nowUs() - 60_001_000 })).toThrow(StaleTokenError);
  });

  it("a token far ahead of the clock is remembered and keeps nothing else in memory", async () => {
    const { gate, clock, nowUs } = gateAt();
    const yearUs = 365 * 86_400_000_000;
    const ahead = ["lock:x", "lock:y", "lock:z"].map((resource) => ({ resource, token: nowUs() + yearUs }));
    for (const fenced of ahead) gate.advance(fenced);
    for (let index = 0; index < 1_000; index += 1) gate.advance({ resource: `lock:${index}`, token: nowUs() });
    await clock.advance(60_001);
    for (let index = 0; index < 1_100; index += 1) gate.advance({ resource: "lock:live", token: nowUs() });
    expect(gate.size).toBe(ahead.length + 1);
    for (const { resource, token } of ahead)
      expect(() => gate.advance({ resource, token: token - 1 })).toThrow(StaleTokenError);
  });

  it("a clock that steps forward and back lets no token through again that is lower than one that was forgotten meanwhile", async () => {
    const { gate, clock, nowUs } = gateAt({ clockSkewMaxMs: 1_000 });
    const zombie = { resource: "lock:a", token: nowUs() };
    gate.advance({ resource: "lock:a", token: nowUs() + 10_000_000 });
    await clock.advance(20_000);
    const live = { resource: "lock:c", token: nowUs() };
    gate.advance(live);
    clock.stepWall(60_000);
    gate.advance({ resource: "lock:b", token: nowUs() - 60_500_000 });
    expect(gate.highest("lock:a")).toBeNull();
    clock.stepWall(-60_000);
    expect(() => gate.advance(zombie)).toThrow(expect.objectContaining({ reason: "too-old" }) as Error);
    gate.advance(live);
    gate.advance({ resource: "lock:a", token: nowUs() + 1 });
  });

  it("a clock that steps back makes no token young again that was too old when it was forgotten", async () => {
    const { gate, clock, nowUs } = gateAt();
    const old = { resource: "lock:a", token: nowUs() };
    gate.advance(old);
    await clock.advance(60_001);
    gate.advance({ resource: "lock:b", token: nowUs() });
    expect(gate.highest("lock:a")).toBeNull();
    clock.stepWall(-30_000);
    expect(() => gate.advance(old)).toThrow(expect.objectContaining({ reason: "too-old" }) as Error);
    gate.advance({ resource: "lock:c", token: old.token + 1 });
  });

  it("a hold that can last longer than the gate remembers is a mistake", () => {
    const { gate, nowUs } = gateAt();
    const fenced = { resource: "lock:a", token: nowUs(), holdMaxMs: 120_000 };
    expect(() => gate.advance(fenced)).toThrow(/guardRetentionMs must be at least/);
  });

  it("refuses what is no hold, no function and no option", () => {
    const { gate, nowUs } = gateAt();
    expect(() => gate.advance({ resource: "lock:a", token: Number.NaN })).toThrow(RangeError);
    expect(() => gate.run({ resource: "lock:a", token: nowUs() }, "x" as unknown as () => string)).toThrow(TypeError);
    expect(() => new FenceGate({ guardRetentionMs: 1 })).toThrow(RangeError);
    expect(() => new FenceGate({ clockSkewMaxMs: -1 })).toThrow(RangeError);
  });
});
