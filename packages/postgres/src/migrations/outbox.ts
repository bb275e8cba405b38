/**
 * Version 3: the outbox (P4). Sequence numbers of one timer id are taken under a lock that is held until commit, so their order is the order
 * of the commits. A relay takes the first row of each id only, and holds its lock until the timer has answered: no row overtakes another.
 */
import { limitIdle } from "./migration.ts";
import type { Migration } from "./migration.ts";

const sql = `
CREATE TABLE holdfast.outbox (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  timer text NOT NULL,
  timer_id text NOT NULL,
  action text NOT NULL CHECK (action IN ('schedule', 'cancel')),
  -- On this server's clock: how far Redis' clock is from it does not matter, the relay sends what is left.
  due_at timestamptz,
  payload text,
  -- Names the call to the timer. Not the sequence, which begins anew in another database.
  operation uuid NOT NULL DEFAULT gen_random_uuid(),
  written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts integer NOT NULL DEFAULT 0,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  error text,
  dead_at timestamptz
);
CREATE INDEX outbox_order ON holdfast.outbox (timer, timer_id, sequence);
COMMENT ON TABLE holdfast.outbox IS 'What is still to be told to the timers; rows leave when they were.';

CREATE FUNCTION holdfast.outbox_write(to_timer text, id text, wanted text, after_ms bigint, content text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('holdfast.outbox ' || to_timer || ' ' || id, 0));
  INSERT INTO holdfast.outbox (timer, timer_id, action, due_at, payload)
  VALUES (to_timer, id, wanted, clock_timestamp() + after_ms * interval '1 millisecond', content);
END $body$;

CREATE FUNCTION holdfast.outbox_claim(of_timer text, rows_max integer, idle_ms integer)
RETURNS TABLE (sequence text, id text, action text, remaining_ms text, payload text, operation text, attempts integer, lag_ms text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
  ${limitIdle("idle_ms")}
  RETURN QUERY
    SELECT o.sequence::text, o.timer_id, o.action,
      greatest(0, ceil(extract(epoch FROM o.due_at - clock_timestamp()) * 1000))::bigint::text,
      o.payload, o.operation::text, o.attempts,
      greatest(0, round(extract(epoch FROM clock_timestamp() - o.written_at) * 1000))::bigint::text
    FROM holdfast.outbox AS o
    WHERE o.timer = of_timer AND o.dead_at IS NULL AND o.not_before <= clock_timestamp() AND NOT EXISTS (
      SELECT FROM holdfast.outbox AS earlier WHERE earlier.timer = o.timer AND earlier.timer_id = o.timer_id
        AND earlier.sequence < o.sequence AND earlier.dead_at IS NULL)
    ORDER BY o.sequence LIMIT rows_max FOR UPDATE OF o SKIP LOCKED;
END $body$;

CREATE FUNCTION holdfast.outbox_relayed(sequences bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  removed integer;
BEGIN
  DELETE FROM holdfast.outbox AS o WHERE o.sequence = ANY (sequences);
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $body$;

CREATE FUNCTION holdfast.outbox_failed(failed bigint, why text, retry_in_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  UPDATE holdfast.outbox AS o SET attempts = o.attempts + 1, error = why,
    not_before = clock_timestamp() + coalesce(retry_in_ms, 0) * interval '1 millisecond',
    dead_at = CASE WHEN retry_in_ms IS NULL THEN clock_timestamp() END
  WHERE o.sequence = failed;
END $body$;

CREATE FUNCTION holdfast.outbox_dead(of_timer text, after_sequence bigint, rows_max integer)
RETURNS TABLE (sequence text, id text, action text, payload text, error text, attempts integer, written_at timestamptz, dead_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
  SELECT o.sequence::text, o.timer_id, o.action, o.payload, o.error, o.attempts, o.written_at, o.dead_at
  FROM holdfast.outbox AS o WHERE o.timer = of_timer AND o.dead_at IS NOT NULL AND o.sequence > after_sequence
  ORDER BY o.sequence LIMIT rows_max
$body$;

CREATE FUNCTION holdfast.outbox_redrive(of_timer text, dead bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  of_id text;
BEGIN
  SELECT o.timer_id INTO of_id FROM holdfast.outbox AS o WHERE o.sequence = dead AND o.timer = of_timer;
  IF NOT FOUND THEN RETURN false; END IF;
  -- Waits for the relay that has a later row of this id. One that has just looked, and does not see the redriven row before it, finds the
  -- later row changed and not yet due, so it leaves it alone: no two rows of an id are told at a time.
  UPDATE holdfast.outbox AS o SET not_before = greatest(o.not_before, clock_timestamp() + interval '100 milliseconds')
  WHERE o.timer = of_timer AND o.timer_id = of_id AND o.dead_at IS NULL;
  UPDATE holdfast.outbox AS o SET dead_at = NULL, attempts = 0, not_before = '-infinity'
  WHERE o.sequence = dead AND o.dead_at IS NOT NULL;
  RETURN FOUND;
END $body$;

CREATE FUNCTION holdfast.outbox_drop(of_timer text, dead bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  DELETE FROM holdfast.outbox AS o WHERE o.sequence = dead AND o.timer = of_timer AND o.dead_at IS NOT NULL;
  RETURN FOUND;
END $body$;

CREATE FUNCTION holdfast.outbox_status(of_timer text, OUT pending bigint, OUT dead bigint, OUT oldest_ms bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
  SELECT count(*) FILTER (WHERE o.dead_at IS NULL), count(*) FILTER (WHERE o.dead_at IS NOT NULL),
    coalesce(round(extract(epoch FROM clock_timestamp() - min(o.written_at) FILTER (WHERE o.dead_at IS NULL)) * 1000), 0)
  FROM holdfast.outbox AS o WHERE o.timer = of_timer
$body$;
`;

/** The outbox. */
export const outboxTable: Migration = { version: 3, name: "outbox", sql };
