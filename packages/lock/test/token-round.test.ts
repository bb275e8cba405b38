/** How a majority agrees on a token: the rule, a model check of random schedules, and the model against the real scripts. */
import { random } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { TokenRound } from "../src/redlock/token-round.ts";
import { quorumKeys } from "../src/redlock/quorum-keys.ts";
import { quorumConfirm, quorumPropose, quorumRelease } from "../src/scripts.generated.ts";
import { ModelNode, QuorumModel } from "./quorum-model.ts";
import type { ModelCounts, Protections } from "./quorum-model.ts";
import { runRaw } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

function explore(
  seed: string,
  schedules: number,
  protections: Protections,
): { violations: string[]; counts: ModelCounts } {
  const counts: ModelCounts = { decided: 0, delivered: 0, late: 0, lost: 0, repeated: 0, forgotten: 0, vanished: 0 };
  const violations: string[] = [];
  for (let schedule = 0; schedule < schedules; schedule += 1) {
    const name = `${seed}-${schedule}`;
    const violation = new QuorumModel(random(name), protections, counts).run(250);
    if (violation !== null) violations.push(`${name}: ${violation}`);
  }
  return { violations, counts };
}

describe("TokenRound", () => {
  it("decides when a majority has confirmed the highest token with a clock past it", () => {
    const round = new TokenRound(3);
    round.see(100);
    round.see(90);
    expect(round.token).toBe(100);
    expect(round.confirm(0, 100, 150)).toBe(0);
    expect(round.decided).toBe(false);
    expect(round.confirm(1, 100, 100)).toBe(1);
    expect(round.decided).toBe(false);
    expect(round.confirm(1, 100, 101)).toBe(0);
    expect(round.decided).toBe(true);
  });

  it("starts the confirmations again with a higher token, and never changes one that is decided", () => {
    const round = new TokenRound(3);
    round.see(100);
    round.confirm(0, 100, 200);
    round.see(110);
    round.confirm(1, 100, 200);
    round.confirm(2, 100, 200);
    expect(round.decided).toBe(false);
    round.confirm(1, 110, 200);
    round.confirm(2, 110, 200);
    expect(round.decided).toBe(true);
    round.see(500);
    expect([round.token, round.decided]).toEqual([110, true]);
  });

  it("counts a node once", () => {
    const round = new TokenRound(5);
    round.see(100);
    for (let time = 0; time < 5; time += 1) round.confirm(0, 100, 200);
    expect(round.decided).toBe(false);
  });
});

describe("40,000 random schedules", () => {
  it("L8 tokens strictly increase and are never given twice, with late, lost and repeated messages, skew and a node that forgets", () => {
    const { violations, counts } = explore("holdfast", 40_000, { strict: true, commitWait: true });
    expect(violations).toEqual([]);
    expect(counts.decided).toBeGreaterThan(15_000);
    expect(counts.late).toBeGreaterThan(20_000);
    expect(counts.lost).toBeGreaterThan(20_000);
    expect(counts.repeated).toBeGreaterThan(20_000);
    expect(counts.forgotten).toBeGreaterThan(10_000);
    expect(counts.vanished).toBeGreaterThan(20_000);
  });

  it("L8 counter-test: without commit-wait the check finds a lower token", () => {
    const { violations } = explore("holdfast", 40_000, { strict: true, commitWait: false });
    expect(violations.length).toBeGreaterThan(0);
    expect(violations.some((violation) => violation.includes("was followed by"))).toBe(true);
  });

  it("L8 counter-test: without strictness the check finds a token that two holders have", () => {
    const { violations } = explore("holdfast", 40_000, { strict: false, commitWait: true });
    expect(violations.some((violation) => violation.includes("two holders"))).toBe(true);
  });
});

it("L8 the model's nodes do what the real scripts do, over 1,500 random calls", async () => {
  const chance = random("model-against-scripts");
  const keys = quorumKeys("holdfast", "user:a");
  const where = (value: string) => ({ lock: keys.lock, fence: keys.fence, gone: keys.gone(value) });
  const model = new ModelNode();
  const seen = new Map<string, number>();
  for (let call = 0; call < 1_500; call += 1) {
    const value = `v${chance.int(0, 2)}`;
    const what = chance.unit();
    if (what < 0.4) {
      const reply = (await runRaw(real.redis, quorumPropose, where(value), {
        value,
        ttlMs: 60_000,
        retentionMs: 60_000,
      })) as string[];
      const expected = model.propose(value, Number(reply[1] ?? 0));
      expect([reply[0], Number(reply[1] ?? 0)]).toEqual([
        expected.kind,
        expected.kind === "granted" ? expected.token : 0,
      ]);
      if (expected.kind === "granted") seen.set(value, expected.token);
    } else if (what < 0.7) {
      const token = Math.max(1, (seen.get(value) ?? 5) + chance.int(-2, 2));
      const inputs = { value, token: String(token).padStart(16, "0"), retentionMs: 60_000 };
      const reply = (await runRaw(real.redis, quorumConfirm, where(value), inputs)) as string[];
      const expected = model.confirm(value, token, Number(reply[1] ?? 0));
      expect(reply[0]).toBe(expected.kind);
      if (expected.kind === "higher") expect(Number(reply[1])).toBe(expected.token);
    } else if (what < 0.95) {
      const reply = (await runRaw(real.redis, quorumRelease, where(value), { value, sealMs: 0 })) as string[];
      expect(reply[0]).toBe(model.release(value).kind);
    } else if (what < 0.98) {
      await real.redis.del(keys.lock);
      model.lock = null;
    } else {
      await real.redis.del(keys.lock, keys.fence);
      model.forget();
    }
  }
  await real.redis.del(keys.lock);
});
