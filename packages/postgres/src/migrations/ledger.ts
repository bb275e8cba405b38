/**
 * Version 4: the ledger of an inventory's movements (P5). The cursor's row is locked while a batch is applied and moves in the same
 * statement, so a batch is applied wholly and once, however often and by however many it is tried.
 */
import type { Migration } from "./migration.ts";

const sql = `
CREATE TABLE holdfast.ledger_cursors (
  inventory text PRIMARY KEY,
  sequence bigint NOT NULL,
  stamp text NOT NULL
);
CREATE TABLE holdfast.ledger_movements (
  inventory text NOT NULL,
  sequence bigint NOT NULL,
  stamp text NOT NULL,
  kind text NOT NULL,
  reference text NOT NULL,
  lines jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (inventory, sequence)
);
CREATE TABLE holdfast.ledger_balances (
  inventory text NOT NULL,
  sku text NOT NULL,
  on_hand bigint NOT NULL,
  reserved bigint NOT NULL,
  -- The last movement that touched it.
  sequence bigint NOT NULL,
  PRIMARY KEY (inventory, sku)
);
COMMENT ON TABLE holdfast.ledger_balances IS 'The sum of the movements of each sku up to the cursor of its inventory.';

CREATE FUNCTION holdfast.ledger_apply(of_inventory text, after_sequence bigint, after_stamp text, batch jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  stands record;
  wanted bigint := after_sequence;
  movement jsonb;
BEGIN
  INSERT INTO holdfast.ledger_cursors (inventory, sequence, stamp) VALUES (of_inventory, 0, '') ON CONFLICT DO NOTHING;
  SELECT c.sequence, c.stamp INTO stands FROM holdfast.ledger_cursors AS c WHERE c.inventory = of_inventory FOR UPDATE;
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
  INSERT INTO holdfast.ledger_movements (inventory, sequence, stamp, kind, reference, lines)
  SELECT of_inventory, (value ->> 'sequence')::bigint, value ->> 'stamp', value ->> 'kind', value ->> 'reference', value -> 'lines'
  FROM jsonb_array_elements(batch);
  INSERT INTO holdfast.ledger_balances AS b (inventory, sku, on_hand, reserved, sequence)
  SELECT of_inventory, line ->> 'sku', sum((line ->> 'onHand')::bigint), sum((line ->> 'reserved')::bigint),
    max((value ->> 'sequence')::bigint)
  FROM jsonb_array_elements(batch), jsonb_array_elements(value -> 'lines') AS line
  GROUP BY line ->> 'sku'
  ON CONFLICT (inventory, sku) DO UPDATE
  SET on_hand = b.on_hand + excluded.on_hand, reserved = b.reserved + excluded.reserved, sequence = excluded.sequence;
  UPDATE holdfast.ledger_cursors AS c SET sequence = wanted, stamp = movement ->> 'stamp' WHERE c.inventory = of_inventory;
  RETURN 'applied';
END $body$;

CREATE FUNCTION holdfast.ledger_cursor(of_inventory text, OUT sequence text, OUT stamp text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
  SELECT c.sequence::text, c.stamp FROM holdfast.ledger_cursors AS c WHERE c.inventory = of_inventory
$body$;
`;

/** The ledger. */
export const ledger: Migration = { version: 4, name: "ledger", sql };
