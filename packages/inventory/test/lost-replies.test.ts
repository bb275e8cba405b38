/** The answer to each kind of call is lost on its way, and the client asks again: it was done once, and the first answer is told. */
import { pollUntil } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { exportStock, importStock, Inventory, startCursor, type Movement } from "../src/index.ts";
import { endHolds, openClients, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
const place = proxiedServer();

let stock: Inventory;
let through: Inventory;

beforeEach(async () => {
  stock = new Inventory(open(place.server), "shop", patient);
  through = new Inventory(open(place.proxy), "shop", patient);
  await through.restock({ operationId: "k", lines: [line("mug", 9)] });
});

async function log(): Promise<Movement[]> {
  const movements: Movement[] = [];
  for await (const movement of stock.movements()) movements.push(movement);
  return movements;
}

/** Loses the answer to the next script, whatever it is. */
async function losing<Result>(call: () => Promise<Result>): Promise<Result> {
  const lost = place.proxy.swallowReply(/^eval/iu);
  const result = await call();
  expect(lost.hits).toBe(1);
  return result;
}

async function lapsed(reservationId: string, quantity: number): Promise<void> {
  await stock.reserve({ reservationId, lines: [line("mug", quantity)] });
  await endHolds(place.server, [reservationId]);
}

/** Each call, and how often each kind of movement is there afterwards. */
const calls: readonly (readonly [string, () => Promise<unknown>, unknown, Record<string, number>])[] = [
  [
    "a decrement in part",
    () => through.decrement({ operationId: "d", allowPartial: true, lines: [line("mug", 12)] }),
    { kind: "decremented", lines: [line("mug", 9)] },
    { decrement: 1 },
  ],
  [
    "a no",
    () => through.decrement({ operationId: "d", lines: [line("mug", 12)] }),
    { kind: "insufficient", shortages: [{ sku: "mug", wanted: 12, available: 9 }] },
    {},
  ],
  [
    "a reservation in part",
    () => through.reserve({ reservationId: "r", allowPartial: true, lines: [line("mug", 12)] }),
    { kind: "reserved", state: "held", lines: [line("mug", 9)] },
    { reserve: 1 },
  ],
  [
    "a confirmation in part",
    async () => {
      await stock.reserve({ reservationId: "r", lines: [line("mug", 3)] });
      return losing(() => through.confirm({ reservationId: "r", lines: [line("mug", 1)] }));
    },
    { kind: "confirmed", lines: [line("mug", 1)] },
    { reserve: 1, confirm: 1 },
  ],
  [
    "a confirmation that takes an expired hold again",
    async () => {
      await lapsed("r", 3);
      return losing(() => through.confirm({ reservationId: "r", retakeIfExpired: true }));
    },
    { kind: "confirmed", lines: [line("mug", 3)] },
    { reserve: 1, expire: 1, retake: 1 },
  ],
  [
    "a seed",
    async () => {
      const ifCursor = await stock.cursor();
      return losing(() => through.seed({ mug: 4 }, { ifCursor }));
    },
    { kind: "seeded", cursor: { sequence: 2 } },
    { seed: 1 },
  ],
  [
    "a sweep",
    async () => {
      await lapsed("r", 3);
      await losing(() => through.sweep());
      return stock.sweep();
    },
    { expired: 0, more: false },
    { reserve: 1, expire: 1 },
  ],
  [
    "a level that returns a due hold",
    async () => {
      await lapsed("r", 3);
      return losing(() => through.level("mug"));
    },
    { onHand: 9, reserved: 0, available: 9 },
    { reserve: 1, expire: 1 },
  ],
  [
    "a commit",
    async () => {
      const [first] = await log();
      return losing(() => through.consumer("ledger").commit(first as Movement));
    },
    { kind: "committed", cursor: { sequence: 1 } },
    {},
  ],
  [
    "a reset",
    () => losing(() => through.consumer("ledger").reset(startCursor)),
    { kind: "committed", cursor: startCursor },
    {},
  ],
];

describe("V2 an answer that is lost", () => {
  it.each(calls)("to %s", async (name, call, answer, moved) => {
    const inside = /confirmation|seed|sweep|level|commit|reset/u.test(name);
    expect(await (inside ? call() : losing(call))).toMatchObject(answer as object);
    const counts: Record<string, number> = {};
    for (const { kind } of await log()) counts[kind] = (counts[kind] ?? 0) + 1;
    expect(counts).toEqual({ restock: 1, ...moved });
  });

  it("to any request of an import changes nothing, of a delivery and of a count", async () => {
    const rows = Array.from({ length: 25 }, (_, index) => `sku-${index},2`).join("\n");
    const file = `sku,quantity\n${rows}\n`;
    for (let batch = 0; batch < 5; batch += 1) {
      let seen = -1;
      const lost = place.proxy.swallowReply(([name = ""]) => /^eval/iu.test(name) && (seen += 1) === batch);
      const options = { format: "csv", operationId: `delivery-${batch}`, rowsMax: 5 } as const;
      expect(await importStock(through, file, options)).toMatchObject({ kind: "imported", applied: 25 });
      expect(lost.hits).toBe(1);
    }
    const levels = await stock.levels(["sku-0", "sku-24"]);
    expect([...levels.values()].map(({ onHand }) => onHand)).toEqual([10, 10]);
    const ifCursor = await stock.cursor();
    const count = { format: "csv", mode: "count", operationId: "count", ifCursor } as const;
    expect(await losing(() => importStock(through, file, count))).toMatchObject({ kind: "imported", applied: 25 });
    let text = "";
    const exporting = async (): Promise<void> => {
      for await (const piece of exportStock(through, { format: "csv" })) text += piece;
    };
    await losing(exporting);
    expect(text.split("\n").toSorted()).toContain("sku-24,2,0,2");
  });
});

it.each(["reset", "remove"] as const)(
  "K1 a %s of a consumer whose reply is lost undoes nothing that came before the client sent it again",
  async (what) => {
    await stock.decrement({ operationId: "d", lines: [line("mug", 1)] });
    const here = stock.consumer("ledger");
    const [first, second] = await here.next();
    if (first === undefined || second === undefined) throw new Error("nothing was read");
    await here.commit(first);
    const away = through.consumer("ledger");
    const lost = place.proxy.swallowReply(/^eval/iu);
    const ended = what === "reset" ? away.reset(startCursor) : away.remove();
    await pollUntil("it was carried out", async () => (await here.position()).sequence === 0);
    const again = place.proxy.hold("request", /^eval/iu);
    await again.hit;
    await here.commit(second);
    again.release();
    expect(await ended).toMatchObject({ kind: "behind" });
    expect([lost.hits, again.hits]).toEqual([1, 1]);
    expect(await here.position()).toMatchObject({ sequence: 2 });
  },
);

it.each(["removed", "reset"] as const)(
  "K1 a commit that cuts off the log in several scripts leaves a consumer as it was %s meanwhile",
  async (what) => {
    const orders = Array.from({ length: 2_500 }, (_, index) => ({ operationId: `k${index}`, lines: [line("mug", 1)] }));
    await Promise.all(orders.map((order) => stock.restock(order)));
    const away = through.consumer("ledger", { pageMax: 10_000 });
    const here = stock.consumer("ledger");
    const all = await away.next();
    let scripts = 0;
    const held = place.proxy.hold("request", ([name = ""]) => /^eval/iu.test(name) && (scripts += 1) > 1);
    const committing = away.commit(all.at(-1) as Movement);
    await held.hit;
    const elsewhere = all[2_000] as Movement;
    expect((await (what === "removed" ? here.remove() : here.reset(elsewhere))).kind).not.toBe("behind");
    held.release();
    expect((await committing).kind).toBe("committed");
    expect(await here.position()).toMatchObject({ sequence: what === "removed" ? 0 : elsewhere.sequence });
  },
);
