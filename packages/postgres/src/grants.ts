/**
 * The rights that each use needs, and no more. The functions run with their owner's rights and check what they write, so a service needs no
 * right on any table: it cannot lower a fence, nor change a stored result.
 */
import { oneOf } from "@holdfast/core";
import { columnText } from "./column-text.ts";

/** What a role may do. */
export type Use = "fence" | "idempotency" | "outbox" | "relay" | "ledger" | "prune" | "operate";

const functionsOf: Readonly<Record<Use, readonly string[]>> = {
  fence: ["fence_one(text, bigint, integer)", "fence(text[], bigint[], integer)"],
  idempotency: [
    "claim_key(text, text, text, text, text, bigint, integer)",
    "complete_key(text, text, text, text, bytea, bigint)",
  ],
  outbox: ["outbox_write(text, text, text, bigint, text)"],
  relay: [
    "outbox_claim(text, integer, integer)",
    "outbox_relayed(bigint[])",
    "outbox_failed(bigint, text, bigint)",
    "outbox_status(text)",
  ],
  ledger: ["ledger_apply(text, integer, bigint, text, jsonb)", "ledger_cursor(text, integer)"],
  operate: [
    "ledger_reset(text, integer, bigint, text, jsonb)",
    "outbox_dead(text, bigint, integer)",
    "outbox_redrive(text, bigint)",
    "outbox_drop(text, bigint)",
  ],
  prune: ["prune_fences(bigint, integer)", "prune_keys(integer)"],
};

const uses: readonly Use[] = ["fence", "idempotency", "outbox", "relay", "ledger", "prune", "operate"];

/**
 * The SQL that lets a role use the schema; run it after the migration, as its owner.
 * @param role the name of the role, without quotes
 * @param allowed default: everything
 * @throws TypeError, RangeError
 */
export function grantSql(role: string, allowed: readonly Use[] = uses): string {
  const quoted = `"${columnText("role", role, 63).replaceAll('"', '""')}"`;
  const functions = allowed.flatMap((use) => functionsOf[oneOf("use", use, uses)]);
  return [
    `GRANT USAGE ON SCHEMA holdfast TO ${quoted};`,
    `GRANT SELECT ON holdfast.migrations TO ${quoted};`,
    ...(allowed.includes("ledger")
      ? [`GRANT SELECT ON holdfast.ledger_movements, holdfast.ledger_balances TO ${quoted};`]
      : []),
    ...functions.map((name) => `GRANT EXECUTE ON FUNCTION holdfast.${name} TO ${quoted};`),
    "",
  ].join("\n");
}
