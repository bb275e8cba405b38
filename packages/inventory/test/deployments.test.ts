/** Two configurations at once, as while a service is deployed, or one after the other: what one has decided the other one knows. */
import { beforeEach, describe, expect, it } from "vitest";
import { Inventory } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { failure, openClients, patient, proxiedServer, serverMs, turnRecords } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const lines = [line("mug", 1)];
const keys = bucketKeys("holdfast", "shop", 0);
const hourMs = 3_600_000;
const open = openClients();
const place = proxiedServer();

let stock: Inventory;

beforeEach(async () => {
  stock = new Inventory(open(place.server), "shop", { ...patient, rememberMs: hourMs });
  await stock.restock({ operationId: "k", lines: [line("mug", 9)] });
});

const ago = async (ms: number): Promise<number> => Math.floor((await serverMs(place.server)) - ms);

/** A UUID of version 7 that was made so long ago. */
async function madeAgo(ms: number, last: string): Promise<string> {
  const hex = (await ago(ms)).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${last.padStart(12, "0")}`;
}

/** Each hash of records is emptied once more, by a client that remembers for less. */
async function forgetByTurns(lastTurnMs: number): Promise<void> {
  const brief = new Inventory(open(place.server), "shop", { ...patient, rememberMs: 1_000 });
  await turnRecords(place.server);
  await brief.restock({ operationId: "first turn", lines: [line("cup", 1)] });
  const side = String(await place.server.call("HGET", keys.stock, "#side")).slice(0, 1);
  await place.server.call("HSET", keys.stock, "#side", `${side}${await ago(lastTurnMs)}`);
  await brief.restock({ operationId: "second turn", lines: [line("cup", 1)] });
}

describe("a raised holdMs", () => {
  it("V2 makes no other request of one that names no length, and no length is asked of it", async () => {
    const [before, after] = [60_000, 120_000].map(
      (holdMs) => new Inventory(open(place.server), "shop", { ...patient, holdMs }),
    ) as [Inventory, Inventory];
    const first = await before.reserve({ reservationId: "r", lines });
    expect(await after.reserve({ reservationId: "r", lines })).toEqual(first);
    expect(await before.reserve({ reservationId: "r", lines })).toEqual(first);
    expect(await after.reserve({ reservationId: "r", holdMs: 60_000, lines })).toEqual(first);
    const error = await failure(before.reserve({ reservationId: "r", holdMs: 120_000, lines }));
    expect(error).toMatchObject({ name: "DifferentRequestError", field: "holdMs" });
  });
});

describe("a raised rememberMs", () => {
  it("V8 an id that carries its time is not run again although its record was thrown away before", async () => {
    const issuedAt = await ago(600_000);
    const id = await madeAgo(600_000, "1");
    const order = { operationId: "order", issuedAt, lines };
    await stock.decrement(order);
    await stock.decrement({ operationId: id, lines });
    await forgetByTurns(70_000);
    for (const each of [order, { operationId: id, lines }]) {
      const error = await failure(stock.decrement(each));
      expect(error).toMatchObject({ name: "IdForgottenError", effect: "none" });
    }
    expect((await stock.level("mug")).onHand).toBe(7);
    expect(await stock.outcome(id)).toEqual({ kind: "forgotten" });
  });

  it("V8 nor is an extension or a seed", async () => {
    const [extension, count] = [await madeAgo(600_000, "1"), await madeAgo(600_000, "2")];
    await stock.reserve({ reservationId: "r", holdMs: hourMs, lines });
    await stock.extend({ reservationId: "r", operationId: extension, holdMs: 60_000 });
    await stock.seed({ mug: 5 }, { ifCursor: await stock.cursor(), operationId: count });
    await stock.confirm({ reservationId: "r" });
    await stock.reserve({ reservationId: "q", lines });
    await stock.release({ reservationId: "q" });
    await forgetByTurns(70_000);
    await stock.reserve({ reservationId: "s", lines });
    const calls = [
      stock.extend({ reservationId: "s", operationId: extension, holdMs: 60_000 }),
      stock.seed({ mug: 5 }, { ifCursor: await stock.cursor(), operationId: count }),
    ];
    for (const call of calls) expect((await failure(call)).name).toBe("IdForgottenError");
    expect((await stock.level("mug")).onHand).toBe(4);
  });

  it("V8 an id whose clock was ahead when it was made is refused like one that was right", async () => {
    const early = { operationId: "early", issuedAt: await ago(-60_000), lines };
    await stock.decrement(early);
    await forgetByTurns(70_000);
    // Ten minutes later: what was recorded before the last minute but nine was thrown away.
    await setBack("#side", 540_000);
    await place.server.call("HSET", keys.stock, "#before", await ago(599_000));
    const error = await failure(stock.decrement({ ...early, issuedAt: early.issuedAt - 600_000 }));
    expect(error.name).toBe("IdForgottenError");
  });

  it("V8 refuses no order that comes late, for the first time, and is not too old", async () => {
    await turnRecords(place.server);
    await stock.restock({ operationId: "first turn", lines: [line("cup", 1)] });
    for (const turn of [2, 3]) {
      await setBack("#side", 2 * hourMs);
      await stock.restock({ operationId: `turn ${turn}`, lines: [line("cup", 1)] });
    }
    for (const agedMs of [1_000, hourMs / 2, hourMs - 60_000]) {
      const order = { operationId: `late ${agedMs}`, issuedAt: await ago(agedMs), lines };
      expect((await stock.decrement(order)).kind).toBe("decremented");
      expect(await stock.outcome(await madeAgo(agedMs, String(agedMs)))).toEqual({ kind: "absent" });
    }
    expect((await stock.decrement({ operationId: "plain", lines })).kind).toBe("decremented");
  });
});

/** Moves a time that is stored with the stock. */
async function setBack(field: string, ms: number): Promise<void> {
  const stored = String(await place.server.call("HGET", keys.stock, field));
  const [, letter = "", time = ""] = /^(\D?)(\d+)$/u.exec(stored) ?? [];
  await place.server.call("HSET", keys.stock, field, `${letter}${Number(time) - ms}`);
}
