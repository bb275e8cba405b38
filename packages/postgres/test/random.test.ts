/**
 * Two hundred rounds of fenced writes, keys, outbox rows and movements, by four actors on two sides of a failing network: sessions that are
 * ended, connections that break, COMMITs without answer, processes that pause and die. What was committed is in journals in PostgreSQL, which
 * the promises P1 to P5 are held against.
 *
 * Chance comes from a seed, which is printed: `HOLDFAST_SEED=… pnpm exec vitest run packages/postgres/test/random.test.ts` repeats the plan
 * (the actors still race as they like).
 */
import { setTimeout as delay } from "node:timers/promises";
import { SeededRandom } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Campaign } from "./random/campaign.ts";
import { ordersPerRound, Plan } from "./random/plan.ts";
import { checkAnswers, checkFences, checkKeys, checkLedger, checkOutbox, createJournals } from "./random/verdict.ts";
import type { Report } from "./random/work.ts";
import { RelayStage } from "./relay-stage.ts";

const roundsPlanned = 200;
const seed = process.env["HOLDFAST_SEED"] ?? String(Date.now());

let stage: RelayStage;

beforeAll(async () => {
  stage = await RelayStage.start();
  await createJournals(stage);
});
afterAll(() => stage.stop());
beforeEach(() => {
  stage.nextTimer();
});
afterEach(() => stage.clear());

describe("random faults on real sessions and processes", () => {
  it("P1 P2 P3 P4 P5 200 rounds: stale writers never commit, keys commit once, the outbox keeps its order, every answer is true", async () => {
    console.log(`seed ${seed}`);
    const campaign = new Campaign(stage, new SeededRandom(seed));
    // P2: a paused process goes on only when all others are done, so whoever waited for it for ever would hang here.
    await campaign.run(roundsPlanned);
    const { reports, hits } = campaign;
    const count = (outcome: Report["outcome"]): number => reports.filter((each) => each.outcome === outcome).length;
    const outcomes = ["committed", "replayed", "stale", "busy", "nothing", "unknown", "lost"] as const;
    const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, count(outcome)]));
    const resolved = reports.filter((report) => report.resolved !== undefined).length;
    console.log(JSON.stringify({ hits: Object.fromEntries(hits), ...counts, resolved }));

    await checkFences(stage, campaign);
    await checkAnswers(stage, campaign);
    await checkKeys(stage, campaign);
    await checkOutbox(stage, campaign);
    await checkLedger(stage, campaign);

    // Neither an idle run nor one in which everything fails passes.
    expect(reports).toHaveLength(roundsPlanned * ordersPerRound);
    for (const outcome of ["committed", "replayed", "stale", "busy", "nothing"] as const) {
      expect({ outcome, share: count(outcome) / reports.length }).toSatisfy(
        ({ share }: { share: number }) => share >= 0.05,
      );
    }
    for (const fault of [
      "terminate",
      "cut",
      "lost answer",
      "lost commit",
      "pause",
      "kill",
      "relay",
      "ledger",
    ] as const) {
      expect({ fault, times: hits.get(fault) ?? 0 }).toSatisfy(({ times }: { times: number }) => times >= 3);
    }
    expect(resolved).toBeGreaterThanOrEqual(15);
    // A COMMIT is left open only where nobody could be asked for as long as it was asked for.
    expect(count("unknown")).toBeGreaterThanOrEqual(1);
    expect(count("unknown")).toBeLessThanOrEqual(0.1 * reports.length);
  }, 600_000);

  it("P1 counter-test: the same orders without a fence leave tokens that go down", async () => {
    const plan = new Plan(new SeededRandom(seed), "none");
    for (let round = 0; round < 20; round += 1) {
      const fences = plan.round(round).flatMap((order) => (order.kind === "fence" ? [order] : []));
      await Promise.all(
        fences.map(async ({ id, token, holdMs }) => {
          await delay(holdMs);
          await stage.pool.query("INSERT INTO entries (id, resource, token) VALUES ($1, 'naive', $2)", [id, token]);
        }),
      );
    }
    const rows = await stage.database.rows<{ token: string }>(
      "SELECT token FROM entries WHERE resource = 'naive' ORDER BY place",
    );
    const tokens = rows.map(({ token }) => Number(token));
    expect(tokens).not.toEqual(tokens.toSorted((left, right) => left - right));
  });
});
