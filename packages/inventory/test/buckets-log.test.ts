/** V9: each bucket of a spread inventory has a log, cursors and consumers of its own. */
import { describe, expect, it } from "vitest";
import { startCursor } from "../src/index.ts";
import { bucketOf } from "../src/keys.ts";
import { failure } from "./clients.ts";
import { kinds, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

/** An id that the given bucket decides. */
function idIn(bucket: number, name: string): string {
  for (let index = 0; ; index += 1) if (bucketOf(`${name}-${index}`, 3) === bucket) return `${name}-${index}`;
}

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);

  it("V9 a consumer reads the log of its own bucket and of no other, and has a position in each", async () => {
    const stock = place.inventory({ buckets: { hot: 3 } });
    const ids = [0, 1, 2].map((bucket) =>
      Array.from({ length: 2 + bucket }, (_, order) => idIn(bucket, `delivery-${order}`)),
    );
    for (const operationId of ids.flat()) await stock.restock({ operationId, lines: [line("hot", 1)] });
    for (const [bucket, own] of ids.entries()) {
      const ledger = stock.consumer("ledger", { bucket });
      expect(await ledger.position()).toEqual(startCursor);
      const movements = await ledger.next();
      expect(movements.map(({ id }) => id)).toEqual(own);
      expect(movements.map(({ sequence }) => sequence)).toEqual(own.map((_, index) => index + 1));
      const last = movements.at(-1);
      if (last === undefined) throw new Error("nothing was read");
      await ledger.commit(last);
      expect(await ledger.position()).toMatchObject({ sequence: own.length });
      expect(await ledger.next()).toEqual([]);
      expect(await stock.cursor({ bucket })).toMatchObject({ sequence: own.length, stamp: last.stamp });
    }
  });

  it("V6 V9 a cursor of one bucket is none of another, and a comparison is of one bucket", async () => {
    const stock = place.inventory({ buckets: { hot: 3 } });
    for (const bucket of [0, 1, 2]) {
      for (let order = 0; order < 2; order += 1) {
        await stock.restock({ operationId: idIn(bucket, `delivery-${order}`), lines: [line("hot", 5 + bucket)] });
      }
    }
    const cursor = await stock.cursor({ bucket: 1 });
    const reading = async (): Promise<unknown> => {
      for await (const movement of stock.movements({ after: cursor, bucket: 2 })) return movement;
      return undefined;
    };
    // Each was founded at a time of its own, so it is like a log that was lost.
    const lost = { name: "MovementGapError", effect: "none" };
    expect(await failure(reading())).toMatchObject(lost);
    expect(await failure(stock.consumer("ledger", { bucket: 2 }).commit(cursor))).toMatchObject(lost);
    expect(await failure(stock.reconcile({ hot: 14 }, cursor, { bucket: 2 }))).toMatchObject(lost);
    expect(await failure(stock.seed({ hot: 1 }, { ifCursor: cursor, bucket: 2 }))).toMatchObject(lost);
    await stock.decrement({ operationId: idIn(1, "sold"), lines: [line("hot", 2)] });
    expect(await stock.reconcile({ hot: 12 }, cursor, { bucket: 1 })).toMatchObject({ drift: [], compared: 1 });
    expect((await stock.reconcile({ hot: 13 }, cursor, { bucket: 1 })).drift).toEqual([
      { sku: "hot", expected: 11, found: 10 },
    ]);
    expect((await stock.reconcile({ hot: 0 }, startCursor, { bucket: 2 })).drift).toEqual([]);
  });
});
