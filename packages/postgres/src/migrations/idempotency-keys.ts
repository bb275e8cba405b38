/**
 * Version 2: keys that commit together with the business write (P3).
 *
 * A row is there only when its transaction was committed, so it always has a result. While the transaction is open, the key is known by an
 * advisory lock, which ends with the transaction or the connection, whatever happens to the client.
 */
import { limitIdle } from "./migration.ts";
import type { Migration } from "./migration.ts";

const sql = `
CREATE TABLE holdfast.idempotency_keys (
  name text NOT NULL,
  tenant text NOT NULL,
  key text NOT NULL,
  fingerprint text NOT NULL,
  attempt text NOT NULL,
  result bytea,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (name, tenant, key)
);
CREATE INDEX idempotency_keys_expiry ON holdfast.idempotency_keys (expires_at);
COMMENT ON TABLE holdfast.idempotency_keys IS 'Keys whose transaction was committed, with its result.';

-- What an attempt has committed itself it finds also after its retention: it asks because COMMIT got no answer.
CREATE FUNCTION holdfast.find_key(wanted_name text, wanted_tenant text, wanted_key text, wanted_fingerprint text, own_attempt text,
  OUT state text, OUT result bytea, OUT attempt text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
  SELECT CASE WHEN k.fingerprint = wanted_fingerprint THEN 'replay' ELSE 'mismatch' END,
    CASE WHEN k.fingerprint = wanted_fingerprint THEN k.result END, k.attempt
  FROM holdfast.idempotency_keys AS k
  WHERE k.name = wanted_name AND k.tenant = wanted_tenant AND k.key = wanted_key
    AND (k.expires_at > clock_timestamp() OR k.attempt = own_attempt)
$body$;

CREATE FUNCTION holdfast.claim_key(wanted_name text, wanted_tenant text, wanted_key text, wanted_fingerprint text,
  new_attempt text, lock_id bigint, idle_ms integer, OUT state text, OUT result bytea, OUT attempt text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
  ${limitIdle("idle_ms")}
  -- Without the lock, so that two replays do not take each other for a running attempt.
  SELECT found.* INTO state, result, attempt
  FROM holdfast.find_key(wanted_name, wanted_tenant, wanted_key, wanted_fingerprint, new_attempt) AS found;
  IF state IS NOT NULL THEN RETURN; END IF;
  IF pg_try_advisory_xact_lock(lock_id) THEN
    INSERT INTO holdfast.idempotency_keys AS k (name, tenant, key, fingerprint, attempt, expires_at)
    VALUES (wanted_name, wanted_tenant, wanted_key, wanted_fingerprint, new_attempt, 'infinity')
    ON CONFLICT (name, tenant, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, attempt = excluded.attempt, result = NULL, expires_at = excluded.expires_at
    WHERE k.expires_at <= clock_timestamp();
    IF FOUND THEN
      state := 'claimed';
      RETURN;
    END IF;
  END IF;
  -- Whoever had the lock may have committed since the first look.
  SELECT found.* INTO state, result, attempt
  FROM holdfast.find_key(wanted_name, wanted_tenant, wanted_key, wanted_fingerprint, new_attempt) AS found;
  state := coalesce(state, 'busy');
END $body$;

CREATE FUNCTION holdfast.complete_key(wanted_name text, wanted_tenant text, wanted_key text, own_attempt text,
  new_result bytea, retention_ms bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  UPDATE holdfast.idempotency_keys AS k
  SET result = new_result, expires_at = clock_timestamp() + retention_ms * interval '1 millisecond'
  WHERE k.name = wanted_name AND k.tenant = wanted_tenant AND k.key = wanted_key AND k.attempt = own_attempt
    AND k.expires_at = 'infinity';
  RETURN FOUND;
END $body$;

CREATE FUNCTION holdfast.prune_keys(rows_max integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  pruned integer;
BEGIN
  DELETE FROM holdfast.idempotency_keys WHERE (name, tenant, key) IN (
    SELECT k.name, k.tenant, k.key FROM holdfast.idempotency_keys AS k
    WHERE k.expires_at <= clock_timestamp() ORDER BY k.expires_at LIMIT rows_max FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $body$;
`;

/** Idempotency keys. */
export const idempotencyKeys: Migration = { version: 2, name: "idempotency-keys", sql };
