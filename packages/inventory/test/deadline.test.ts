/** Nobody waits for stock longer than the one who asked: every wait takes the ambient deadline when that comes first. */
import { withAmbientDeadline } from "@holdfast/core";
import { LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { confirmAcross, Inventory, reserveAcross, startCursor } from "../src/index.ts";
import { endHolds, failure, openClients, proxiedServer } from "./clients.ts";

const lines = [{ sku: "mug", quantity: 1 }];
/** Of its own, each call would wait for longer than a test may take, or any of its leaps. */
const own = { commandTimeoutMs: 600_000 };
const deadlineMs = 60_000;
const open = openClients();
const place = proxiedServer();

async function stocked(clock = new LeapClock()): Promise<Inventory> {
  const stock = new Inventory(open(place.proxy), "shop", { ...own, clock });
  await stock.restock({ operationId: "delivery", lines: [{ sku: "mug", quantity: 5 }] });
  await stock.reserve({ reservationId: "held", lines });
  return stock;
}

describe("a Redis that does not answer", () => {
  const calls: readonly (readonly [string, string, (stock: Inventory) => Promise<unknown>])[] = [
    ["decrement", "OutcomeUnknownError", (stock) => stock.decrement({ operationId: "d", lines })],
    ["reserve", "OutcomeUnknownError", (stock) => stock.reserve({ reservationId: "r", lines })],
    ["confirm", "OutcomeUnknownError", (stock) => stock.confirm({ reservationId: "held" })],
    ["release", "OutcomeUnknownError", (stock) => stock.release({ reservationId: "held" })],
    ["extend", "OutcomeUnknownError", (stock) => stock.extend({ reservationId: "held", operationId: "e", holdMs: 50 })],
    ["outcome", "OutcomeUnknownError", (stock) => stock.outcome("d")],
    ["restock", "OutcomeUnknownError", (stock) => stock.restock({ operationId: "k", lines })],
    ["adjust", "OutcomeUnknownError", (stock) => stock.adjust({ operationId: "j", reason: "found", lines })],
    ["level", "OutcomeUnknownError", (stock) => stock.level("mug")],
    ["sweep", "OutcomeUnknownError", (stock) => stock.sweep()],
    ["seed", "OutcomeUnknownError", (stock) => stock.seed({ mug: 5 }, { ifCursor: startCursor, operationId: "s" })],
    ["commit", "OutcomeUnknownError", (stock) => stock.consumer("ledger").commit(startCursor)],
    ["movements", "RedisUnavailableError", (stock) => stock.movements().next()],
    ["reserveAcross", "OutcomeUnknownError", (stock) => reserveAcross([{ stock, reservationId: "r", lines }])],
    ["confirmAcross", "OutcomeUnknownError", (stock) => confirmAcross([{ stock, reservationId: "held" }])],
  ];

  it.each(calls)("%s gives up at the ambient deadline", async (_, name, call) => {
    const clock = new LeapClock();
    const stock = await stocked(clock);
    const held = place.proxy.hold("request", /^evalsha|^eval/i);
    const failing = failure(withAmbientDeadline(deadlineMs, () => call(stock), clock));
    await held.hit;
    clock.leap(deadlineMs);
    expect((await failing).name).toBe(name);
    held.release();
  });

  it("counter-test: without one a call goes on waiting, and is carried out when Redis is back", async () => {
    const stock = await stocked();
    const held = place.proxy.hold("request", "evalsha");
    const calling = stock.decrement({ operationId: "d", lines });
    await held.hit;
    held.release();
    expect((await calling).kind).toBe("decremented");
  });

  it("of orders that share a request, the one in a hurry leaves alone, under its own id", async () => {
    const clock = new LeapClock();
    const stock = await stocked(clock);
    const held = place.proxy.hold("request", "evalsha");
    const patient = stock.decrement({ operationId: "patient", lines });
    const hurried = withAmbientDeadline(deadlineMs, () => stock.decrement({ operationId: "hurried", lines }), clock);
    await held.hit;
    clock.leap(deadlineMs);
    expect(await failure(hurried)).toMatchObject({ name: "OutcomeUnknownError", operationId: "hurried" });
    held.release();
    expect((await patient).kind).toBe("decremented");
  });

  it("the first call of a spread inventory does not make later ones as hurried as itself", async () => {
    const clock = new LeapClock();
    const stock = new Inventory(open(place.proxy), "spread", { ...own, clock, buckets: { mug: 2 } });
    await new Inventory(open(place.proxy), "other", own).level("mug");
    const held = place.proxy.hold("request", /^evalsha|^eval/i);
    const hurried = withAmbientDeadline(deadlineMs, () => stock.restock({ operationId: "a", lines }), clock);
    const patient = stock.restock({ operationId: "b", lines });
    await held.hit;
    clock.leap(deadlineMs);
    expect((await failure(hurried)).name).toBe("OutcomeUnknownError");
    held.release();
    expect((await patient).kind).toBe("restocked");
  });
});

it("a reader that follows ends with the ambient deadline, though its next look would be in a minute", async () => {
  const clock = new LeapClock();
  const stock = await stocked(clock);
  const heard: string[] = [];
  const read = async (): Promise<void> => {
    for await (const { id } of stock.movements({ follow: true, pollMs: 60_000 })) heard.push(id);
  };
  const reading = withAmbientDeadline(30_000, read, clock);
  await pollUntil("it has heard of both", () => heard.length === 2);
  clock.leap(30_000);
  await reading;
  expect(heard).toEqual(["delivery", "held"]);
});

describe("holds that are due, more than one script returns", () => {
  async function overdue(): Promise<Inventory> {
    const stock = new Inventory(open(place.server), "shop", own);
    await stock.restock({ operationId: "delivery", lines: [{ sku: "mug", quantity: 300 }] });
    await Promise.all(
      Array.from({ length: 250 }, (_, index) => stock.reserve({ reservationId: `cart-${index}`, lines })),
    );
    await endHolds(place.server);
    return stock;
  }

  it("level does not go on returning them once the ambient deadline has passed", async () => {
    const stock = await overdue();
    const late = await withAmbientDeadline(0, () => stock.level("mug"));
    expect(late).toEqual({ onHand: 300, reserved: 150, available: 150 });
  });

  it("counter-test: with time left it returns them all", async () => {
    const stock = await overdue();
    const level = await withAmbientDeadline(60_000, () => stock.level("mug"));
    expect(level).toEqual({ onHand: 300, reserved: 0, available: 300 });
  });
});
