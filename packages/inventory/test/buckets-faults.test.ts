/** V9 with many clients at once, answers that are lost, and holds that end by themselves while units travel between buckets. */
import { Connection, EventSink } from "@holdfast/core";
import { FaultProxy, random } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bucket } from "../src/bucket.ts";
import { Inventory, type Movement } from "../src/index.ts";
import { bucketOf } from "../src/keys.ts";
import { resolveInventoryOptions } from "../src/options.ts";
import { openClients, passed, patient, proxiedServer, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const bucketCount = 4;
const options = { ...patient, buckets: { hot: bucketCount } };
const open = openClients();
const place = proxiedServer();

/** Asks under the same id until it is decided and answered. */
async function insist<Result extends { readonly kind: string }>(ask: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      const result = await ask();
      if (result.kind !== "busy") return result;
    } catch (error) {
      if (!["OutcomeUnknownError", "RedisUnavailableError"].includes((error as Error).name)) throw error;
    }
  }
}

async function logOf(stock: Inventory): Promise<Movement[]> {
  const movements: Movement[] = [];
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    for await (const movement of stock.movements({ bucket })) movements.push(movement);
  }
  return movements;
}

/** Sells what is left, one by one. @returns how many that were */
async function sellOut(stock: Inventory, name: string): Promise<number> {
  for (let buyer = 0; ; buyer += 1) {
    const order = { operationId: `${name}-${buyer}`, lines: [line("hot", 1)] };
    if ((await insist(() => stock.decrement(order))).kind === "insufficient") return buyer;
  }
}

/** An id that the given bucket decides. */
function idIn(bucket: number, name: string): string {
  for (let index = 0; ; index += 1) if (bucketOf(`${name}-${index}`, bucketCount) === bucket) return `${name}-${index}`;
}

/** Brings units from one bucket to another, as somebody does who is short there. */
async function bring(from: number, to: number, quantity: number): Promise<void> {
  const connection = Connection.of(open(place.server));
  const resolved = resolveInventoryOptions(options);
  const [lender, borrower] = [from, to].map(
    (index) => new Bucket(connection, "shop", index, resolved, new EventSink("test:inventory")),
  ) as [Bucket, Bucket];
  const parcel = await lender.lend(to, "hot", quantity);
  if (parcel === null) throw new Error(`bucket ${from} has nothing to lend`);
  await borrower.receive(parcel);
  await lender.clear(parcel);
}

describe("a spread inventory", () => {
  it.each(["decrement", "retake of a part"])(
    "V9 does not say no in a %s because a unit came to its bucket and was fetched away again",
    async (what) => {
      const stock = new Inventory(open(place.server), "shop", options);
      const buyer = new Inventory(open(place.proxy), "shop", options);
      const id = idIn(2, "buyer");
      await stock.restock({ operationId: idIn(2, "first"), lines: [line("hot", 2)] });
      const held = await stock.reserve({ reservationId: id, holdMs: 50, lines: [line("hot", 2)] });
      await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
      await stock.decrement({ operationId: idIn(2, "faster"), lines: [line("hot", 2)] });
      await buyer.level("hot");
      const asking = place.proxy.hold("request", /buyer/u);
      const calling =
        what === "decrement"
          ? buyer.decrement({ operationId: idIn(2, "buyer-too"), lines: [line("hot", 1)] })
          : buyer.confirm({ reservationId: id, retakeIfExpired: true, lines: [line("hot", 1)] });
      await asking.hit;
      // The first question finds nothing; then it looks at all buckets.
      const looking = place.proxy.hold("request", "evalsha");
      asking.release();
      await looking.hit;
      await stock.restock({ operationId: idIn(2, "late"), lines: [line("hot", 1)] });
      const again = place.proxy.hold("request", /buyer/u);
      looking.release();
      await again.hit;
      await bring(2, 1, 1);
      again.release();
      expect((await calling).kind).toBe(what === "decrement" ? "decremented" : "confirmed");
      expect(await stock.level("hot")).toEqual({ onHand: 0, reserved: 0, available: 0 });
    },
  );

  it.each([1, 2, 3])(
    "V9 loses no unit and sells none twice when answers are lost at any step (seed %i)",
    async (seed) => {
      const units = 40;
      const stock = new Inventory(open(place.server), "shop", options);
      await stock.restock({ operationId: "delivery", lines: [line("hot", units)] });
      const proxies: FaultProxy[] = [];
      try {
        await Promise.all(
          Array.from({ length: 6 }, async (_, worker) => {
            const chance = random(`${seed}/${worker}`);
            const proxy = await FaultProxy.start(place.server);
            proxies.push(proxy);
            const by = new Inventory(open(proxy, { retryStrategy: () => 5 }), "shop", options);
            for (let turn = 0; turn < 12; turn += 1) {
              // Each id is used by two workers, as after a redelivery.
              const reservationId = `${Math.floor(worker / 2)}-${turn}`;
              const holdMs = turn % 4 === 0 ? 50 : 60_000;
              const lines = [line("hot", 1 + (turn % 3))];
              if (chance.chance(0.5)) proxy.swallowReply("evalsha");
              const { kind } = await insist(() => by.reserve({ reservationId, holdMs, lines }));
              if (kind !== "reserved") continue;
              if (chance.chance(0.5)) proxy.swallowReply("evalsha");
              const end = (turn + Math.floor(worker / 2)) % 3;
              if (end === 0) await insist(() => by.confirm({ reservationId, retakeIfExpired: true }));
              if (end === 1) await insist(() => by.release({ reservationId }));
              if (end === 2)
                await insist(() => by.decrement({ operationId: `d${reservationId}`, lines: [line("hot", 1)] }));
            }
          }),
        );
        expect(proxies.reduce((sum, { counts }) => sum + counts.swallowed, 0)).toBeGreaterThan(20);
      } finally {
        for (const proxy of proxies) await proxy.close();
      }
      // Nothing ends by itself from here on.
      await passed(place.server, (await serverMs(place.server)) + 51);
      const { onHand, reserved } = await stock.level("hot");
      const movements = await logOf(stock);
      const moved = (field: "onHand" | "reserved"): number =>
        movements.flatMap(({ changes }) => changes).reduce((sum, change) => sum + change[field], 0);
      expect([onHand, reserved]).toEqual([moved("onHand"), moved("reserved")]);
      // Units on their way are nowhere at the end: what left a bucket has come to another one.
      const parcels = (kind: string): string[] => movements.filter((each) => each.kind === kind).map(({ id }) => id);
      expect(parcels("transfer-in").toSorted()).toEqual(parcels("transfer-out").toSorted());
      for (const kind of ["reserve", "decrement", "transfer-out"]) {
        const ids = parcels(kind);
        expect(new Set(ids).size).toBe(ids.length);
      }
      const sold = movements
        .filter(({ kind }) => ["confirm", "retake", "decrement"].includes(kind))
        .flatMap(({ changes }) => changes)
        .reduce((sum, change) => sum - change.onHand, 0);
      expect(onHand).toBe(units - sold);
      // What is neither sold nor in a cart can be had, to the last unit.
      expect(await sellOut(stock, "rest")).toBe(onHand - reserved);
      expect(await stock.level("hot")).toEqual({ onHand: reserved, reserved, available: 0 });
    },
  );
});
