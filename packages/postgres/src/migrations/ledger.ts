/**
 * Version 4: the ledger of an inventory's movements (P5). The cursor's row is locked while a batch is applied and moves in the same
 * statement, so a batch is applied wholly and once, however often and by however many it is tried.
 */
import type { Migration } from "./migration.ts";

const sql = `
CREATE TABLE holdfast.ledger_cursors (
  inventory text NOT NULL,
  bucket integer NOT NULL,
  sequence bigint NOT NULL,
  stamp text NOT NULL,
  PRIMARY KEY (inventory, bucket)
);
CREATE TABLE holdfast.ledger_movements (
  inventory text NOT NULL,
  bucket integer NOT NULL,
  sequence bigint NOT NULL,
  stamp text NOT NULL,
  kind text NOT NULL,
  id text NOT NULL,
  at timestamptz NOT NULL,
  changes jsonb NOT NULL,
  -- A repaired fork has other movements under numbers that were there before.
  PRIMARY KEY (inventory, bucket, sequence, stamp)
);
CREATE TABLE holdfast.ledger_balances (
  inventory text NOT NULL,
  sku text NOT NULL,
  bucket integer NOT NULL,
  on_hand bigint NOT NULL,
  reserved bigint NOT NULL,
  -- The last movement that touched it.
  sequence bigint NOT NULL,
  PRIMARY KEY (inventory, sku, bucket)
);
COMMENT ON TABLE holdfast.ledger_balances IS 'The sum of the movements of each sku up to the cursors of its inventory.';

CREATE FUNCTION holdfast.ledger_apply(of_inventory text, of_bucket integer, after_sequence bigint, after_stamp text, batch jsonb)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  stands record;
  wanted bigint := after_sequence;
  movement jsonb;
BEGIN
  INSERT INTO holdfast.ledger_cursors (inventory, bucket, sequence, stamp) VALUES (of_inventory, of_bucket, 0, '')
  ON CONFLICT DO NOTHING;
  SELECT c.sequence, c.stamp INTO stands FROM holdfast.ledger_cursors AS c
  WHERE c.inventory = of_inventory AND c.bucket = of_bucket FOR UPDATE;
  IF stands.sequence <> after_sequence OR stands.stamp <> after_stamp THEN
    RETURN 'moved';
  END IF;
  FOR movement IN SELECT value FROM jsonb_array_elements(batch) WITH ORDINALITY AS given (value, place) ORDER BY place LOOP
    wanted := wanted + 1;
    IF (movement ->> 'sequence')::bigint <> wanted THEN
      RAISE EXCEPTION 'movement % of % should have come, % came', wanted, of_inventory, movement ->> 'sequence'
        USING ERRCODE = 'SF002', DETAIL = json_build_object('wanted', wanted, 'found', (movement ->> 'sequence')::bigint);
    END IF;
  END LOOP;
  INSERT INTO holdfast.ledger_movements (inventory, bucket, sequence, stamp, kind, id, at, changes)
  SELECT of_inventory, of_bucket, (entry ->> 'sequence')::bigint, entry ->> 'stamp', entry ->> 'kind', entry ->> 'id',
    to_timestamp((entry ->> 'atMs')::numeric / 1000), entry -> 'changes'
  FROM jsonb_array_elements(batch) AS entries (entry);
  INSERT INTO holdfast.ledger_balances AS b (inventory, sku, bucket, on_hand, reserved, sequence)
  SELECT of_inventory, change ->> 'sku', of_bucket, sum((change ->> 'onHand')::bigint), sum((change ->> 'reserved')::bigint),
    max((entry ->> 'sequence')::bigint)
  FROM jsonb_array_elements(batch) AS entries (entry), jsonb_array_elements(entry -> 'changes') AS changes (change)
  GROUP BY change ->> 'sku'
  ON CONFLICT (inventory, sku, bucket) DO UPDATE
  SET on_hand = b.on_hand + excluded.on_hand, reserved = b.reserved + excluded.reserved, sequence = excluded.sequence;
  UPDATE holdfast.ledger_cursors AS c SET sequence = wanted, stamp = batch -> -1 ->> 'stamp'
  WHERE c.inventory = of_inventory AND c.bucket = of_bucket;
  RETURN 'applied';
END $body$;

CREATE FUNCTION holdfast.ledger_cursor(of_inventory text, of_bucket integer, OUT sequence text, OUT stamp text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
  SELECT c.sequence::text, c.stamp FROM holdfast.ledger_cursors AS c
  WHERE c.inventory = of_inventory AND c.bucket = of_bucket
$body$;

CREATE FUNCTION holdfast.ledger_reset(
  of_inventory text, of_bucket integer, to_sequence bigint, to_stamp text, to_balances jsonb
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  INSERT INTO holdfast.ledger_cursors AS c (inventory, bucket, sequence, stamp)
  VALUES (of_inventory, of_bucket, to_sequence, to_stamp)
  ON CONFLICT (inventory, bucket) DO UPDATE SET sequence = excluded.sequence, stamp = excluded.stamp;
  -- What other buckets have stays theirs: this one gets the rest.
  INSERT INTO holdfast.ledger_balances AS b (inventory, sku, bucket, on_hand, reserved, sequence)
  SELECT of_inventory, wanted ->> 'sku', of_bucket, (wanted ->> 'onHand')::bigint - coalesce(sum(o.on_hand), 0),
    (wanted ->> 'reserved')::bigint - coalesce(sum(o.reserved), 0), to_sequence
  FROM jsonb_array_elements(to_balances) AS balances (wanted)
  LEFT JOIN holdfast.ledger_balances AS o
    ON o.inventory = of_inventory AND o.sku = wanted ->> 'sku' AND o.bucket <> of_bucket
  GROUP BY wanted
  ON CONFLICT (inventory, sku, bucket) DO UPDATE
  SET on_hand = excluded.on_hand, reserved = excluded.reserved, sequence = excluded.sequence;
END $body$;
`;

/** The ledger. */
export const ledger: Migration = { version: 4, name: "ledger", sql };
