/** A thousand random histories of fifty calls against a model, on a real server, with lost and late replies, retries and expiry. */
import { FaultProxy, RedisServer, type HoldRule } from "@holdfast/testkit";
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
  { weight: 20, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom("lost", "twice", "twice, first answer", "late request", "late reply") },
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
const reached = { confirm: 0, expiry: 0, lateRequest: 0, lateReply: 0 };

beforeAll(async () => {
  server = await RedisServer.start();
  direct = new Redis(server.url, { replyMapping: "legacy" });
  // Every script is known to the server: what is held is the call, and not the question whether it knows the script.
  const warm = new Inventory(direct, "warm", patient);
  await warm.restock({ operationId: "k", lines: [{ sku: "a", quantity: 1 }] });
  await warm.extend({ reservationId: "none", operationId: "e", holdMs: longMs });
  await warm.release({ reservationId: "none" });
  await warm.outcome("never");
  await warm.sweep();
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

/** A call under way: its request has not arrived yet, or its answer has not, while others are made. */
class Late {
  readonly #held: HoldRule;
  readonly #answer: Promise<Expected>;
  readonly #wanted: () => Expected;
  #steps: number;

  private constructor(held: HoldRule, answer: Promise<Expected>, wanted: () => Expected, steps: number) {
    this.#held = held;
    this.#answer = answer;
    this.#wanted = wanted;
    this.#steps = steps;
  }

  static async send(
    proxy: FaultProxy,
    fault: "late request" | "late reply",
    [ask, expected]: ReturnType<typeof both>,
    steps: number,
  ): Promise<Late> {
    const what = fault === "late request" ? "request" : "reply";
    const held = proxy.hold(what, "evalsha");
    const answer = answered(ask());
    await held.hit;
    if (what === "request") {
      reached.lateRequest += 1;
      return new Late(held, answer, expected, steps);
    }
    reached.lateReply += 1;
    const wanted = expected();
    return new Late(held, answer, () => wanted, steps);
  }

  /** @returns whether it is still under way */
  async step(): Promise<boolean> {
    this.#steps -= 1;
    if (this.#steps > 0) return true;
    await this.arrive();
    return false;
  }

  async arrive(): Promise<void> {
    this.#held.release();
    const answer = await this.#answer;
    expect(answer).toEqual(this.#wanted());
  }

  /** Lets go of it, whatever it says. */
  async drop(): Promise<void> {
    this.#held.release();
    await this.#answer;
  }
}

/** The log makes the levels of the model. */
async function compareLog(stock: Inventory, model: Model): Promise<void> {
  const replayed = new Map(skus.map((sku) => [sku, { onHand: 0, reserved: 0 }]));
  let sequence = 0;
  for await (const movement of stock.movements({ pageMax: 17 })) {
    sequence += 1;
    expect(movement.sequence).toBe(sequence);
    for (const { sku, onHand, reserved } of movement.changes) {
      const level = replayed.get(sku) ?? { onHand: 0, reserved: 0 };
      replayed.set(sku, { onHand: level.onHand + onHand, reserved: level.reserved + reserved });
    }
  }
  for (const [sku, { onHand, reserved }] of replayed) expect(model.level(sku)).toMatchObject({ onHand, reserved });
}

async function compareLevels(stock: Inventory, model: Model): Promise<void> {
  const levels = await stock.levels(skus);
  for (const sku of skus) expect({ sku, ...levels.get(sku) }).toEqual({ sku, ...model.level(sku) });
}

/** One run: an inventory as two clients see it, one of them through the proxy, and the model. */
class Run {
  readonly #proxy: FaultProxy;
  readonly #struck: Inventory;
  readonly #beside: Inventory;
  readonly #model = new Model();
  readonly #calls: Call[] = [];
  #late: Late | undefined;
  confirmed = false;
  expired = false;

  constructor({ proxy, client }: Lane, name: string) {
    this.#proxy = proxy;
    this.#struck = new Inventory(client, name, patient);
    this.#beside = new Inventory(direct, name, patient);
  }

  async all(steps: readonly Step[]): Promise<void> {
    const start = skus.map((sku) => ({ sku, quantity: 40 }));
    await this.#beside.restock({ operationId: "start", lines: start });
    this.#model.order("restock", "start", start);
    try {
      for (const each of steps) {
        const call =
          each.kind === "again" ? this.#calls.at(-(each as unknown as { back: number }).back) : (each as Call);
        if (call === undefined) continue;
        this.#calls.push(call);
        if (this.#late !== undefined && !(await this.#late.step())) this.#late = undefined;
        // What is behind a late call on its connection would be late, too.
        await this.#call(call, this.#late === undefined ? each.fault : null);
        if (this.#calls.length % 3 === 0) await compareLevels(this.#beside, this.#model);
      }
      await this.#late?.arrive();
    } finally {
      await this.#late?.drop();
    }
    await compareLevels(this.#beside, this.#model);
    await compareLog(this.#beside, this.#model);
  }

  async #call(call: Call, fault: string | null): Promise<void> {
    if (fault === "late request" || fault === "late reply") {
      // A hold of 50 ms is waited for.
      if (call.kind === "lapse") return;
      const asked = both(this.#struck, this.#model, call);
      this.#late = await Late.send(this.#proxy, fault, asked, 1 + (this.#calls.length % 7));
      return;
    }
    const [ask, expected] = both(fault === null ? this.#beside : this.#struck, this.#model, call);
    strike(this.#proxy, fault);
    const answer = await answered(ask());
    const wanted = expected();
    if (answer["kind"] === "confirmed") this.confirmed = true;
    if (call.kind !== "lapse" || wanted["state"] !== "held") {
      expect(answer).toEqual(wanted);
      return;
    }
    const { id: name } = call as unknown as { id: string };
    const now = await this.#beside.outcome(name);
    if (now.kind === "reserved") await passed(server, now.expiresAtMs);
    if (this.#model.lapse(name)) this.expired = true;
    // On a slow machine it may be over before it is answered.
    expect(["held", "expired"]).toContain(answer["state"]);
    expect({ ...answer, state: "held" }).toEqual(wanted);
  }
}

async function run(lane: Lane, steps: readonly Step[]): Promise<void> {
  runs += 1;
  const run = new Run(lane, `run-${runs}`);
  await run.all(steps);
  if (run.confirmed) reached.confirm += 1;
  if (run.expired) reached.expiry += 1;
}

describe("the model", () => {
  it("V2 V4 V5 1,000 sequences of 50 calls answer as the model does", { timeout: 600_000 }, async () => {
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        const own = await lane();
        await fc.assert(
          fc.asyncProperty(fc.array(step, { minLength: stepsPerRun, maxLength: stepsPerRun }), (steps) =>
            run(own, steps),
          ),
          { numRuns: runsPerLane, endOnFailure: true },
        );
      }),
    );
    expect(runs).toBe(lanes * runsPerLane);
    expect(reached.confirm).toBeGreaterThan(runs / 2);
    expect(reached.expiry).toBeGreaterThan(runs / 2);
    expect(reached.lateRequest).toBeGreaterThan(100);
    expect(reached.lateReply).toBeGreaterThan(100);
    const hits = open.map(({ proxy }) => proxy.counts);
    expect(hits.reduce((sum, { swallowed }) => sum + swallowed, 0)).toBeGreaterThan(100);
    expect(hits.reduce((sum, { repeated }) => sum + repeated, 0)).toBeGreaterThan(100);
  });
});
