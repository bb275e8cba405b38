/** Several inventories, and a process or an answer that is lost at each of the steps between them. */
import { FaultProxy } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { beforeEach, describe, expect, it } from "vitest";
import { confirmAcross, Inventory, reserveAcross, type ReservePart } from "../src/index.ts";
import { endHolds, failure, openClients, passed, patient, proxiedServer, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
const place = proxiedServer();
/** In the order in which they are asked. */
const names = ["east", "north", "west"];
const full = { onHand: 3, reserved: 0, available: 3 };
const sold = { onHand: 1, reserved: 0, available: 1 };

let stocks: Inventory[];

beforeEach(async () => {
  stocks = by(open(place.server));
  for (const stock of stocks) await stock.restock({ operationId: "delivery", lines: [line("mug", 3)] });
  // So that every script is known to the server, and a step is one request.
  await across(partsOf(stocks, "warm", { quantity: 1 }));
  await reserveAcross(partsOf(stocks, "too much", { quantity: 1, inWest: 99 }));
  for (const stock of stocks) await stock.restock({ operationId: "again", lines: [line("mug", 1)] });
});

function by(client: Redis): Inventory[] {
  return names.map((name) => new Inventory(client, name, patient));
}

function partsOf(
  from: readonly Inventory[],
  reservationId: string,
  { quantity = 2, inWest, holdMs = 60_000 }: { quantity?: number; inWest?: number; holdMs?: number } = {},
): ReservePart[] {
  return from.map((stock, index) => {
    const wanted = index === 2 ? (inWest ?? quantity) : quantity;
    return { stock, reservationId, holdMs, lines: [line("mug", wanted)] };
  });
}

/** Reserves and confirms. @returns what it came to */
async function across(parts: readonly ReservePart[], extendMs?: number): Promise<string> {
  const reserved = await reserveAcross(parts);
  return reserved.kind === "reserved" ? (await confirmAcross(parts, { extendMs })).kind : reserved.kind;
}

const levels = (): Promise<object[]> => Promise.all(stocks.map((stock) => stock.level("mug")));

/** How often each kind of movement has the id, by inventory. */
async function movementsOf(id: string): Promise<Record<string, number>[]> {
  return Promise.all(
    stocks.map(async (stock) => {
      const counts: Record<string, number> = {};
      for await (const movement of stock.movements()) {
        if (movement.id === id) counts[movement.kind] = (counts[movement.kind] ?? 0) + 1;
      }
      return counts;
    }),
  );
}

/** Matches the script of that number, counted from 1. */
function script(step: number): (command: readonly string[]) => boolean {
  let seen = 0;
  return ([name = ""]) => /^eval(sha)?$/iu.test(name) && (seen += 1) === step;
}

/**
 * A process that dies at a step: before its request arrives, or after it was carried out.
 * @returns false when it was through before that step
 */
async function diesAt(
  step: number,
  what: "request" | "reply",
  run: (from: readonly Inventory[]) => Promise<unknown>,
): Promise<boolean> {
  const proxy = await FaultProxy.start(place.server);
  const client = open(proxy, { retryStrategy: () => null });
  const held = proxy.hold(what, script(step));
  const running = run(by(client)).then(
    () => "through" as const,
    () => "failed" as const,
  );
  const end = await Promise.race([held.hit, running]);
  client.disconnect();
  await proxy.close();
  await running;
  return end !== "through";
}

describe.each(["request", "reply"] as const)("a process that dies with its %s on the way, at every step", (what) => {
  it("V4 of a reservation and its confirmation, is taken up by the same ids, and nothing is taken twice", async () => {
    let step = 1;
    for (; ; step += 1) {
      const id = `order-${step}`;
      const died = await diesAt(step, what, (from) => across(partsOf(from, id)));
      expect(await across(partsOf(stocks, id))).toBe("confirmed");
      expect(await levels()).toEqual([sold, sold, sold]);
      expect(await movementsOf(id)).toEqual(names.map(() => ({ reserve: 1, confirm: 1 })));
      for (const stock of stocks) await stock.restock({ operationId: `back-${step}`, lines: [line("mug", 2)] });
      if (!died) break;
    }
    // Three reservations, three extensions, three confirmations.
    expect(step).toBe(10);
  });

  it("V4 and whom nobody takes up before the holds have ended: all is sold, or all is back", async () => {
    const ends: string[] = [];
    for (let step = 1; ; step += 1) {
      const id = `order-${step}`;
      const holdMs = 100;
      const died = await diesAt(step, what, (from) => across(partsOf(from, id, { holdMs }), holdMs));
      await passed(place.server, (await serverMs(place.server)) + holdMs + 1);
      const { kind } = await confirmAcross(partsOf(stocks, id));
      ends.push(kind);
      expect([kind, ...(await levels())]).toEqual(
        kind === "confirmed" ? [kind, sold, sold, sold] : ["not-held", full, full, full],
      );
      if (kind === "confirmed") {
        for (const stock of stocks) await stock.restock({ operationId: `back-${step}`, lines: [line("mug", 2)] });
      }
      if (!died) break;
    }
    expect(ends).toContain("not-held");
  });

  it("V3 of a reservation that one place refuses, leaves nothing reserved once it is taken up", async () => {
    let step = 1;
    for (; ; step += 1) {
      const id = `order-${step}`;
      const asked = { inWest: 4 };
      const died = await diesAt(step, what, (from) => reserveAcross(partsOf(from, id, asked)));
      expect(["insufficient", "ended"]).toContain((await reserveAcross(partsOf(stocks, id, asked))).kind);
      expect(await levels()).toEqual([full, full, full]);
      if (!died) break;
    }
    // Two reservations, a refusal, two releases.
    expect(step).toBe(6);
  });
});

it("V4 an answer that is lost at any step changes nothing: it is asked for again under the same id", async () => {
  const through = by(open(place.proxy));
  await through[0]?.level("mug");
  for (let step = 1; step <= 9; step += 1) {
    const id = `order-${step}`;
    const lost = place.proxy.swallowReply(script(step));
    expect(await across(partsOf(through, id))).toBe("confirmed");
    expect(lost.hits).toBe(1);
    expect(await levels()).toEqual([sold, sold, sold]);
    expect(await movementsOf(id)).toEqual(names.map(() => ({ reserve: 1, confirm: 1 })));
    for (const stock of stocks) await stock.restock({ operationId: `back-${step}`, lines: [line("mug", 2)] });
  }
});

it("V3 a place that still returns due holds makes it busy, and the others are given back", async () => {
  const west = stocks[2] as Inventory;
  await west.restock({ operationId: "many", lines: [line("mug", 247)] });
  await Promise.all(
    Array.from({ length: 250 }, (_, cart) => west.reserve({ reservationId: `cart-${cart}`, lines: [line("mug", 1)] })),
  );
  await endHolds(place.server, undefined, "west");
  const parts = (id: string): ReservePart[] => partsOf(stocks, id, { inWest: 250 });
  expect(await reserveAcross(parts("a"))).toEqual({ kind: "busy", inventory: "west" });
  expect(await (stocks[0] as Inventory).level("mug")).toEqual(full);
  expect(await reserveAcross(parts("a"))).toEqual({ kind: "ended", inventory: "east", state: "released" });
  const kinds: string[] = [];
  while (kinds.at(-1) !== "reserved" && kinds.length < 5) {
    kinds.push((await reserveAcross(parts(`b${kinds.length}`))).kind);
  }
  expect(kinds.slice(0, -1).every((kind) => kind === "busy")).toBe(true);
  expect(await levels()).toEqual([
    { onHand: 3, reserved: 2, available: 1 },
    { onHand: 3, reserved: 2, available: 1 },
    { onHand: 250, reserved: 250, available: 0 },
  ]);
});

it("K1 a reservation whose ids were given up is not made by a request that comes late", async () => {
  const proxied = by(open(place.proxy));
  await proxied[0]?.level("mug");
  const held = place.proxy.hold("request", script(3));
  const late = failure(reserveAcross(partsOf(proxied, "order")));
  await held.hit;
  // Somebody else ends what the first one has begun.
  await (stocks[0] as Inventory).release({ reservationId: "order" });
  expect(await reserveAcross(partsOf(stocks, "order"))).toEqual({
    kind: "ended",
    inventory: "east",
    state: "released",
  });
  held.release();
  expect((await late).name).toBe("IdSealedError");
  expect(await levels()).toEqual([full, full, full]);
});
