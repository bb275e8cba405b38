/** A thousand random histories of fifty calls against a model, on a real server, with lost and late replies, retries and expiry. */
import { FaultProxy, RedisServer } from "@holdfast/testkit";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Inventory } from "../src/index.ts";
import { Model, type Expected, type Lines } from "./model/model.ts";
import { passed, patient } from "./clients.ts";

const skus = ["a", "b c", "r#a"];
const longMs = 3_600_000;
const lanes = 20;
const runsPerLane = 50;
const stepsPerRun = 50;

const lines = fc.array(fc.record({ sku: fc.constantFrom(...skus), quantity: fc.integer({ min: 1, max: 6 }) }), {
  minLength: 1,
  maxLength: 3,
});
const id = fc.integer({ min: 0, max: 11 }).map((number) => `id ${number}`);
const part = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: lines });
const operationId = fc.constantFrom("x", "y");
const fault = fc.oneof(
  { weight: 30, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom("lost", "twice", "twice, first answer") },
);
// A hold of 50 ms may be over when the client is back, so its reply is never lost.
const repeated = fc.constantFrom(null, null, null, "twice");

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("reserve"), id, lines, partial: fc.boolean(), fault }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("lapse"), id, lines, fault: repeated }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("decrement"), id, lines, partial: fc.boolean(), fault }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("confirm"),
      id,
      operationId,
      part,
      retake: fc.boolean(),
      fault,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("release"), id, operationId, fault }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("extend"), id, other: id, fault }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("restock"), id, lines, fault }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("adjust"), id, lines, sign: fc.constantFrom(1, -1), fault }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("outcome"), id, fault }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("sweep"), fault }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("again"), back: fc.integer({ min: 1, max: 20 }), fault }) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;
type Call = Exclude<Step, { kind: "again" }> & Readonly<Record<string, unknown>>;

/** One client behind a proxy of its own. */
interface Lane {
  readonly proxy: FaultProxy;
  readonly client: Redis;
}

let server: RedisServer;
let direct: Redis;
const open: Lane[] = [];
let runs = 0;
const reached = { confirm: 0, expiry: 0 };

beforeAll(async () => {
  server = await RedisServer.start();
  direct = new Redis(server.url, { replyMapping: "legacy" });
});
afterAll(async () => {
  for (const { proxy, client } of open) {
    client.disconnect();
    await proxy.close();
  }
  direct.disconnect();
  await server.stop();
});

async function lane(): Promise<Lane> {
  const proxy = await FaultProxy.start(server);
  const client = new Redis(proxy.url, { retryStrategy: () => 1, replyMapping: "legacy" });
  client.on("error", () => undefined);
  open.push({ proxy, client });
  return { proxy, client };
}

/** What a call answered, without times and texts. */
async function answered(call: Promise<object>): Promise<Expected> {
  try {
    const { expiresAtMs: _, ...rest } = (await call) as Record<string, unknown>;
    return rest;
  } catch (error) {
    const { name, field } = error as Error & { field?: string };
    return name === "DifferentRequestError" ? { error: name, field } : { error: name };
  }
}

function signed(asked: Lines, sign: number): Lines {
  return asked.map(({ sku, quantity }) => ({ sku, quantity: sign * quantity }));
}

/** The call on the inventory and what the model says to it. */
function both(stock: Inventory, model: Model, call: Call): [() => Promise<object>, () => Expected] {
  const {
    id: name,
    lines: asked,
    partial = false,
  } = call as unknown as { id: string; lines: Lines; partial?: boolean };
  const mark = String((call as { operationId?: string }).operationId);
  switch (call.kind) {
    case "reserve":
      return [
        () => stock.reserve({ reservationId: name, lines: asked, allowPartial: partial, holdMs: longMs }),
        () => model.order("reserve", name, asked, partial, longMs),
      ];
    case "lapse":
      return [
        () => stock.reserve({ reservationId: name, lines: asked, holdMs: 50 }),
        () => model.order("reserve", name, asked, false, 50),
      ];
    case "decrement":
      return [
        () => stock.decrement({ operationId: name, lines: asked, allowPartial: partial }),
        () => model.order("decrement", name, asked, partial),
      ];
    case "confirm": {
      const { part, retake } = call as unknown as { part: Lines | null; retake: boolean };
      const request = { reservationId: name, operationId: mark, lines: part ?? undefined, retakeIfExpired: retake };
      return [() => stock.confirm(request), () => model.confirm(name, mark, part ?? undefined, retake)];
    }
    case "release":
      return [() => stock.release({ reservationId: name, operationId: mark }), () => model.release(name, mark)];
    case "extend": {
      const { other } = call as unknown as { other: string };
      const operation = `e ${other}`;
      return [
        () => stock.extend({ reservationId: name, operationId: operation, holdMs: longMs }),
        () => model.extend(operation, name, longMs),
      ];
    }
    case "restock":
      return [() => stock.restock({ operationId: name, lines: asked }), () => model.order("restock", name, asked)];
    case "adjust": {
      const change = signed(asked, (call as unknown as { sign: number }).sign);
      return [
        () => stock.adjust({ operationId: name, reason: "count", lines: change }),
        () => model.order("adjust", name, change),
      ];
    }
    case "outcome":
      return [() => stock.outcome(name), () => model.outcome(name)];
    case "sweep":
      return [() => stock.sweep().then(() => ({})), () => ({})];
  }
}

function strike(proxy: FaultProxy, kind: string | null): void {
  if (kind === "lost") proxy.swallowReply("evalsha");
  else if (kind !== null) proxy.repeat("evalsha", { keep: kind === "twice" ? "last" : "first" });
}

async function compareLevels(stock: Inventory, model: Model): Promise<void> {
  const levels = await stock.levels(skus);
  for (const sku of skus) expect({ sku, ...levels.get(sku) }).toEqual({ sku, ...model.level(sku) });
}

async function run({ proxy, client }: Lane, steps: readonly Step[]): Promise<void> {
  runs += 1;
  const struck = new Inventory(client, `run-${runs}`, patient);
  const model = new Model();
  const beside = new Inventory(direct, struck.name, patient);
  const start = skus.map((sku) => ({ sku, quantity: 40 }));
  await beside.restock({ operationId: "start", lines: start });
  model.order("restock", "start", start);
  const seen = { confirm: false, expiry: false };
  const calls: Call[] = [];
  for (const each of steps) {
    const back = each.kind === "again" ? calls.at(-(each as unknown as { back: number }).back) : (each as Call);
    if (back === undefined) continue;
    calls.push(back);
    const stock = each.fault === null ? beside : struck;
    const [ask, expected] = both(stock, model, back);
    strike(proxy, each.fault);
    const answer = await answered(ask());
    const wanted = expected();
    if (answer["kind"] === "confirmed") seen.confirm = true;
    if (back.kind === "lapse" && wanted["state"] === "held") {
      const { id: name } = back as unknown as { id: string };
      const now = await beside.outcome(name);
      if (now.kind === "reserved") await passed(server, now.expiresAtMs);
      if (model.lapse(name)) seen.expiry = true;
      // On a slow machine it may be over before it is answered.
      expect(["held", "expired"]).toContain(answer["state"]);
      expect({ ...answer, state: "held" }).toEqual(wanted);
    } else {
      expect(answer).toEqual(wanted);
    }
    if (calls.length % 3 === 0) await compareLevels(beside, model);
  }
  await compareLevels(beside, model);
  const replayed = new Map(skus.map((sku) => [sku, { onHand: 0, reserved: 0 }]));
  let sequence = 0;
  for await (const movement of beside.movements({ pageMax: 17 })) {
    sequence += 1;
    expect(movement.sequence).toBe(sequence);
    for (const { sku, onHand, reserved } of movement.changes) {
      const level = replayed.get(sku) ?? { onHand: 0, reserved: 0 };
      replayed.set(sku, { onHand: level.onHand + onHand, reserved: level.reserved + reserved });
    }
  }
  for (const [sku, { onHand, reserved }] of replayed) expect(model.level(sku)).toMatchObject({ onHand, reserved });
  if (seen.confirm) reached.confirm += 1;
  if (seen.expiry) reached.expiry += 1;
}

describe("the model", () => {
  it("V2 V4 V5 1,000 sequences of 50 calls answer as the model does", { timeout: 600_000 }, async () => {
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        const { proxy, client } = await lane();
        await fc.assert(
          fc.asyncProperty(fc.array(step, { minLength: stepsPerRun, maxLength: stepsPerRun }), (steps) =>
            run({ proxy, client }, steps),
          ),
          { numRuns: runsPerLane, endOnFailure: true },
        );
      }),
    );
    expect(runs).toBe(lanes * runsPerLane);
    expect(reached.confirm).toBeGreaterThan(runs / 2);
    expect(reached.expiry).toBeGreaterThan(runs / 2);
    const hits = open.map(({ proxy }) => proxy.counts);
    expect(hits.reduce((sum, { swallowed }) => sum + swallowed, 0)).toBeGreaterThan(100);
    expect(hits.reduce((sum, { repeated }) => sum + repeated, 0)).toBeGreaterThan(100);
  });
});
