/** Keys in PostgreSQL: how they are named, claimed within a transaction, and completed in it. The SQL is in migrations/idempotency-keys.ts. */
import { hash } from "node:crypto";
import { fingerprintOf } from "@holdfast/idempotency";
import { columnText } from "./column-text.ts";
import type { Queryable } from "./pool.ts";
import { ask, literal } from "./statement.ts";

/** What a caller names. */
export interface TransactionKey {
  /** The operation that keys belong to: `charge`. 1 to 256 bytes, without NUL. */
  readonly name: string;
  /** Whose key it is; keys of different tenants never meet. 1 to 256 bytes, without NUL. */
  readonly tenant: string;
  /** 1 to 256 bytes, without NUL. */
  readonly key: string;
  /** The payload: another one under the same key is refused. JSON values, text or bytes; `null` where there is nothing to compare. */
  readonly fingerprint: unknown;
}

/** A key, ready for statements. */
export interface PreparedKey {
  /** `idempotency:charge:acme:order-1`, no two keys have the same. */
  readonly resource: string;
  /** The same for the key in every attempt and for ever: for whoever acts outside of the transaction. */
  readonly downstreamKey: string;
  readonly fingerprint: string;
  /** The advisory lock of the open transaction. Two keys that share one, 1 in 2^64, wait for each other and nothing else. */
  readonly lockId: string;
  readonly values: readonly [name: string, tenant: string, key: string];
}

const serverMs = "(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::text";

/** What the claim found. */
export type Claim =
  /** When, on the server's clock, in epoch milliseconds. */
  | { readonly state: "claimed"; readonly at_ms: string }
  | { readonly state: "busy" | "mismatch" }
  | { readonly state: "replay"; readonly result: Buffer; readonly attempt: string };

/** @throws TypeError, RangeError naming the field */
export function prepareKey({ name, tenant, key, fingerprint }: TransactionKey): PreparedKey {
  const values = [columnText("name", name), columnText("tenant", tenant), columnText("key", key)] as const;
  if (fingerprint === undefined) {
    throw new TypeError("fingerprint must be the payload, or null where there is nothing to compare, got undefined");
  }
  const resource = `idempotency:${values.map((part) => encodeURIComponent(part)).join(":")}`;
  const digest = hash("sha256", `holdfast postgres key 1\n${resource}`, "buffer");
  return {
    resource,
    downstreamKey: digest.toString("base64url", 8),
    fingerprint: fingerprintOf(resource, fingerprint),
    lockId: String(digest.readBigInt64BE(0)),
    values,
  };
}

/**
 * Claims a key for the open transaction, or finds what was committed under it: a statement without parameters, which may stand in one
 * message with BEGIN. Its row is a {@link Claim}.
 * @param attempt names this attempt; no other has the same
 */
export function claimSql({ values, fingerprint, lockId }: PreparedKey, attempt: string, idleMs: number): string {
  const texts = [...values, fingerprint, attempt, lockId].map((value) => literal(value)).join(", ");
  return `SELECT state, result, attempt, ${serverMs} AS at_ms FROM holdfast.claim_key(${texts}::bigint, ${idleMs})`;
}

/**
 * Stores the result beside the business write.
 * @returns when, on the server's clock, in epoch milliseconds; undefined when the body has removed the key
 */
export async function completeKey(
  tx: Queryable,
  key: PreparedKey,
  attempt: string,
  result: Uint8Array,
  retentionMs: number,
): Promise<number | undefined> {
  const bytes = Buffer.from(result.buffer, result.byteOffset, result.byteLength);
  const [row] = await ask<{ at_ms: string; done: boolean }>(
    tx,
    { operation: `idempotentTransaction ${key.resource}`, standing: "in-transaction" },
    `SELECT ${serverMs} AS at_ms, holdfast.complete_key($1, $2, $3, $4, $5::bytea, $6::bigint) AS done`,
    [...key.values, attempt, bytes, retentionMs],
  );
  return row?.done === true ? Number(row.at_ms) : undefined;
}
