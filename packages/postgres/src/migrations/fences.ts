/**
 * Version 1: the highest token of each resource (P1).
 *
 * The UPDATE of `fence_one` is the usual path: it takes the row, waits for whoever has it, and looks at the row as it is then. What it did not
 * find, `fence_met` makes or refuses. A row that is not there may have been pruned, and its token with it, so a new one has to stand above
 * the floor. The floor is a sequence because a sequence is read as it is now, not as it was at the snapshot: prune raises it before it
 * deletes, so whoever finds a row gone finds the floor raised, under any isolation level.
 */
import { limitIdle } from "./migration.ts";
import type { Migration } from "./migration.ts";

/**
 * The transaction's number and its beginning in microseconds: what `commitOutcome` is asked with. In the function, where it is planned once for a
 * session; in the statement it would be with each fence.
 */
const whichTransaction = "pg_current_xact_id() || '@' || (extract(epoch FROM now()) * 1000000)::bigint";

const sql = `
CREATE TABLE holdfast.fences (
  -- Bytes, not words: compared fast, and the same under every version of a locale.
  resource text COLLATE "C" PRIMARY KEY,
  token bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE holdfast.fences IS 'The highest token that has been at each resource; written by holdfast.fence alone.';

CREATE SEQUENCE holdfast.fence_floor MINVALUE 0 START 0;
COMMENT ON SEQUENCE holdfast.fence_floor IS 'Tokens below it are refused where no row remembers better.';

CREATE FUNCTION holdfast.fence_met(wanted text, granted bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  seen bigint;
BEGIN
  INSERT INTO holdfast.fences AS f (resource, token) VALUES (wanted, granted)
  ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token;
  IF NOT FOUND THEN
    SELECT f.token INTO seen FROM holdfast.fences AS f WHERE f.resource = wanted;
    RAISE EXCEPTION 'stale token % for %: a later holder with token % has been here', granted, wanted, seen
      USING ERRCODE = 'SF001', DETAIL = json_build_object(
        'resource', wanted, 'token', granted, 'highest', seen, 'reason', 'superseded');
  END IF;
  SELECT last_value INTO seen FROM holdfast.fence_floor;
  IF granted < seen THEN
    RAISE EXCEPTION 'stale token % for %: tokens below % are no longer remembered', granted, wanted, seen
      USING ERRCODE = 'SF001', DETAIL = json_build_object(
        'resource', wanted, 'token', granted, 'highest', seen, 'reason', 'too-old');
  END IF;
END $body$;

CREATE FUNCTION holdfast.fence_one(wanted text, granted bigint, idle_ms integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  ${limitIdle("idle_ms")}
  UPDATE holdfast.fences AS f SET token = granted WHERE f.resource = wanted AND f.token <= granted;
  IF NOT FOUND THEN
    PERFORM holdfast.fence_met(wanted, granted);
  END IF;
  RETURN ${whichTransaction};
END $body$;

CREATE FUNCTION holdfast.fence(resources text[], tokens bigint[], idle_ms integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT given.resource, given.token FROM unnest(resources, tokens) AS given (resource, token)
    ORDER BY given.resource COLLATE "C", given.token DESC
  LOOP
    PERFORM holdfast.fence_one(held.resource, held.token, idle_ms);
  END LOOP;
  RETURN ${whichTransaction};
END $body$;

CREATE FUNCTION holdfast.prune_fences(retention_ms bigint, rows_max integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  -- Tokens have a time floor: one that was granted earlier than this is smaller than this.
  floor_wanted bigint := floor((extract(epoch FROM clock_timestamp()) * 1000 - retention_ms) * 1000);
  floor_now bigint;
  pruned integer;
BEGIN
  -- Held to the end, so that the floor never goes back.
  PERFORM pg_advisory_xact_lock(hashtextextended('holdfast.prune_fences', 0));
  SELECT last_value INTO floor_now FROM holdfast.fence_floor;
  IF floor_wanted > floor_now THEN
    PERFORM setval('holdfast.fence_floor', floor_wanted);
    floor_now := floor_wanted;
  END IF;
  DELETE FROM holdfast.fences WHERE resource IN (
    SELECT f.resource FROM holdfast.fences AS f WHERE f.token < floor_now LIMIT rows_max FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $body$;
`;

/** Fences. */
export const fences: Migration = { version: 1, name: "fences", sql };
