/** The promises P1 to P5, held against what was committed and what was heard. */
import { expect } from "vitest";
import { commitOutcome, idempotentTransaction } from "../../src/index.ts";
import type { RelayStage } from "../relay-stage.ts";
import type { Campaign } from "./campaign.ts";
import type { Order, Report } from "./work.ts";

/** Creates the journals. */
export async function createJournals({ pool }: RelayStage): Promise<void> {
  await pool.query(`
    CREATE TABLE entries (place bigserial, id text, resource text, token bigint);
    CREATE TABLE effects (place bigserial, key text, id text);
    CREATE TABLE wishes (place bigserial, id text, timer_id text, cancels boolean)`);
}

function ofKind<Kind extends Order["kind"]>(
  reports: readonly Report[],
  kind: Kind,
): (Report & { readonly order: Extract<Order, { readonly kind: Kind }> })[] {
  return reports.filter(
    (report): report is Report & { readonly order: Extract<Order, { readonly kind: Kind }> } =>
      report.order.kind === kind,
  );
}

/** P1: tokens never go down in the order of the commits, and a refusal names a token that was there. */
export async function checkFences({ database }: RelayStage, { reports }: Campaign): Promise<void> {
  const entries = await database.rows<{ resource: string; token: string }>(
    "SELECT resource, token FROM entries ORDER BY place",
  );
  for (const resource of new Set(entries.map((entry) => entry.resource))) {
    const tokens = entries.filter((entry) => entry.resource === resource).map(({ token }) => Number(token));
    expect(tokens).toEqual(tokens.toSorted((left, right) => left - right));
    const stale = ofKind(reports, "fence").filter(
      ({ order, outcome }) => outcome === "stale" && order.resource === resource,
    );
    for (const { order, highest } of stale) {
      expect(highest).toBeGreaterThan(order.token);
      expect(tokens).toContain(highest);
    }
  }
}

/** What the caller of a fenced transaction heard is what was committed: all, once, or nothing. */
export async function checkAnswers({ database, pool }: RelayStage, { reports }: Campaign): Promise<void> {
  const rows = await database.rows<{ id: string; count: string }>(
    "SELECT id, count(*) FROM (SELECT id FROM entries UNION ALL SELECT id FROM wishes) AS written GROUP BY id",
  );
  const written = new Map(rows.map(({ id, count }) => [id, Number(count)]));
  for (const report of [...ofKind(reports, "fence"), ...ofKind(reports, "outbox")]) {
    const { order, outcome, operationId } = report;
    const times = written.get(order.id) ?? 0;
    const allowed = { committed: [1], nothing: [0], stale: [0] }[outcome as "committed" | "nothing" | "stale"] ?? [
      0, 1,
    ];
    expect({ report, times }).toSatisfy(() => allowed.includes(times));
    if (operationId === undefined) continue;
    const { kind } = await commitOutcome(pool, operationId);
    expect({ report, kind }).toMatchObject({ kind: times === 1 ? "committed" : "rolled-back" });
  }
}

/** P3: one effect at most, one answer for everybody, and a later call gets it. */
export async function checkKeys({ database, pool }: RelayStage, { reports }: Campaign): Promise<void> {
  const keys = new Map<string, Set<string>>();
  for (const { order, answer } of ofKind(reports, "key")) {
    const answers = keys.get(order.key) ?? new Set();
    keys.set(order.key, answers);
    if (answer !== undefined) answers.add(answer);
  }
  for (const [key, answers] of keys) {
    const effects = await database.rows<{ id: string }>("SELECT id FROM effects WHERE key = $1", [key]);
    expect({ key, effects: effects.length }).toSatisfy(() => effects.length <= 1);
    if (answers.size > 0) expect({ key, answers: [...answers] }).toEqual({ key, answers: [effects[0]?.id] });
    const request = { name: "charge", tenant: "acme", key, fingerprint: { key } };
    const { value, replayed } = await idempotentTransaction(pool, request, async () => "judge");
    const [effect] = effects;
    expect({ key, value, replayed }).toEqual({ key, value: effect?.id ?? "judge", replayed: effect !== undefined });
  }
}

/** P4: what was committed, and nothing else, was told, in order; a repeat of what was told is answered by the timer and changes nothing. */
export async function checkOutbox({ database, timer }: RelayStage, { told }: Campaign): Promise<void> {
  const wishes = await database.rows<{ id: string; timer_id: string; cancels: boolean }>(
    "SELECT id, timer_id, cancels FROM wishes ORDER BY place",
  );
  for (const id of new Set(wishes.map((wish) => wish.timer_id))) {
    const wanted = wishes.filter((wish) => wish.timer_id === id).map((wish) => (wish.cancels ? null : wish.id));
    const heard = told.filter((each) => each.id === id);
    const order = [...new Set(heard.map(({ operationId }) => operationId))];
    expect(order.map((operation) => heard.find(({ operationId }) => operationId === operation)?.wish)).toEqual(wanted);
    expect({ id, wish: (await timer.get(id))?.payload.order ?? null }).toEqual({ id, wish: wanted.at(-1) ?? null });
  }
}

/** P5: each movement once and in order, and the sums. */
export async function checkLedger({ database }: RelayStage, { log }: Campaign): Promise<void> {
  const movements = await database.rows<{ id: string }>("SELECT id FROM holdfast.ledger_movements ORDER BY sequence");
  expect(movements.map(({ id }) => id)).toEqual(log.all.map(({ id }) => id));
  expect(
    await database.rows("SELECT sku, on_hand::text, reserved::text FROM holdfast.ledger_balances ORDER BY sku"),
  ).toEqual(log.balances);
  expect(log.committed).toBe(log.all.length);
}
