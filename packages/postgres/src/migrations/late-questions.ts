/**
 * Version 5: a key outlives its retention by an hour, for the one who asks what became of its COMMIT (P3). To everybody else it is forgotten
 * on time, and the next one may take it; so after the retention only a row that is there is an answer.
 */
import type { Migration } from "./migration.ts";

const sql = `
CREATE OR REPLACE FUNCTION holdfast.prune_keys(rows_max integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  pruned integer;
BEGIN
  DELETE FROM holdfast.idempotency_keys WHERE (name, tenant, key) IN (
    SELECT k.name, k.tenant, k.key FROM holdfast.idempotency_keys AS k
    WHERE k.expires_at <= clock_timestamp() - interval '1 hour' ORDER BY k.expires_at LIMIT rows_max FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $body$;
`;

/** Keys are pruned an hour after their retention. */
export const lateQuestions: Migration = { version: 5, name: "late-questions", sql };
