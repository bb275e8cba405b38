/**
 * Version 1: the highest token of each resource (P1).
 *
 * The UPDATE is the usual path: it takes the row, waits for whoever has it, and looks at the row as it is then. A row that is not there may
 * have been pruned, and its token with it, so a new one has to stand above the floor. The floor is a sequence because a sequence is read as
 * it is now, not as it was at the snapshot: prune raises it before it deletes, so whoever finds a row gone finds the floor raised, under
 * any isolation level.
 */
import { limitIdle } from "./migration.ts";
import type { Migration } from "./migration.ts";

const sql = `
CREATE TABLE holdfast.fences (
  resource text PRIMARY KEY,
  token bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE holdfast.fences IS 'The highest token that has been at each resource; written by holdfast.fence alone.';

CREATE SEQUENCE holdfast.fence_floor MINVALUE 0 START 0;
COMMENT ON SEQUENCE holdfast.fence_floor IS 'Tokens below it are refused where no row remembers better.';

CREATE FUNCTION holdfast.fence(resources text[], tokens bigint[], idle_ms integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  held record;
  seen bigint;
BEGIN
  ${limitIdle("idle_ms")}
  FOR held IN
    SELECT given.resource, given.token FROM unnest(resources, tokens) AS given (resource, token)
    ORDER BY given.resource COLLATE "C", given.token DESC
  LOOP
    UPDATE holdfast.fences AS f SET token = held.token WHERE f.resource = held.resource AND f.token <= held.token;
    CONTINUE WHEN FOUND;
    INSERT INTO holdfast.fences AS f (resource, token) VALUES (held.resource, held.token)
    ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token;
    IF NOT FOUND THEN
      SELECT f.token INTO seen FROM holdfast.fences AS f WHERE f.resource = held.resource;
      RAISE EXCEPTION 'stale token % for %: a later holder with token % has been here', held.token, held.resource, seen
        USING ERRCODE = 'SF001', DETAIL = json_build_object(
          'resource', held.resource, 'token', held.token, 'highest', seen, 'reason', 'superseded');
    END IF;
    SELECT last_value INTO seen FROM holdfast.fence_floor;
    IF held.token < seen THEN
      RAISE EXCEPTION 'stale token % for %: tokens below % are no longer remembered', held.token, held.resource, seen
        USING ERRCODE = 'SF001', DETAIL = json_build_object(
          'resource', held.resource, 'token', held.token, 'highest', seen, 'reason', 'too-old');
    END IF;
  END LOOP;
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
