/** One sequence: an inventory as two clients see it, one of them perhaps through a proxy, and the model beside it. */
import type { FaultProxy } from "@holdfast/testkit";
import { expect } from "vitest";
import { Inventory, type Cursor } from "../../src/index.ts";
import { bucketKeys } from "../../src/keys.ts";
import { passed, patient } from "../clients.ts";
import type { Client } from "../places.ts";
import { answered, Late, type Asked } from "./late.ts";
import { Model, type Lines } from "./model.ts";
import { skus, type Call, type Step } from "./steps.ts";

const longMs = 3_600_000;

/** A client behind a proxy of its own. */
export interface Lane {
  readonly proxy: FaultProxy;
  readonly client: Client;
}

/** Where a sequence runs. */
export interface Setting {
  /** A client that nothing happens to. */
  readonly direct: Client;
  /** Without one, nothing happens to any call. */
  readonly lane: Lane | undefined;
  readonly buckets?: Readonly<Record<string, number>> | undefined;
}

/** What sequences have come to, counted over all of them. */
export interface Reached {
  confirmed: number;
  expired: number;
  lateRequests: number;
  lateReplies: number;
  seeded: number;
  moved: number;
  turns: number;
}

/** As a change: all of it up, all of it down, or with 0 one sku up and the others down. */
function signed(asked: Lines, sign: number): Lines {
  return asked.map(({ sku, quantity }) => ({ sku, quantity: (sign || (sku === "a" ? 1 : -1)) * quantity }));
}

function strike(proxy: FaultProxy, kind: string | null): void {
  if (kind === "lost") proxy.swallowReply("evalsha");
  else if (kind !== null) proxy.repeat("evalsha", { keep: kind === "twice" ? "last" : "first" });
}

/** One run of one sequence. */
export class Run {
  readonly #setting: Setting;
  readonly #reached: Reached;
  readonly #struck: Inventory;
  readonly #beside: Inventory;
  readonly #model = new Model();
  readonly #calls: Call[] = [];
  readonly #cursors: Cursor[] = [];
  readonly #sideKey: string;
  #late: Late | undefined;
  #confirmed = false;
  #expired = false;

  constructor(setting: Setting, reached: Reached, name: string) {
    const { direct, lane, buckets } = setting;
    this.#setting = setting;
    this.#reached = reached;
    this.#struck = new Inventory(lane?.client ?? direct, name, { ...patient, buckets });
    this.#beside = new Inventory(direct, name, { ...patient, buckets });
    this.#sideKey = bucketKeys("holdfast", name, 0).stock;
  }

  /** @throws where the two differ */
  async all(steps: readonly Step[]): Promise<void> {
    const start = skus.map((sku) => ({ sku, quantity: 40 }));
    await this.#beside.restock({ operationId: "start", lines: start });
    this.#model.order("restock", "start", start);
    try {
      for (const each of steps) {
        const call = each.kind === "again" ? this.#calls.at(-each.back) : each;
        if (call === undefined) continue;
        this.#calls.push(call);
        if (this.#late !== undefined && !(await this.#late.step())) this.#late = undefined;
        // What is behind a late call on its connection would be late, too.
        const fault = this.#late === undefined ? each.fault : null;
        if (each.turns && fault === null && call.kind !== "lapse") await this.#turning(call);
        else await this.#call(call, fault);
        if (this.#calls.length % 3 === 0) await this.#compareLevels();
      }
      await this.#late?.arrive();
    } finally {
      await this.#late?.drop();
    }
    await this.#compareLevels();
    await this.#compareLogs();
    if (this.#confirmed) this.#reached.confirmed += 1;
    if (this.#expired) this.#reached.expired += 1;
  }

  /** The records' turn has come, and this call finds it so. */
  async #turning(call: Call): Promise<void> {
    await this.#compareLevels();
    const { direct } = this.#setting;
    const before = String(await direct.hget(this.#sideKey, "#side"));
    const cursor = await this.#placeOf(call);
    await direct.hset(this.#sideKey, "#side", `${before.slice(0, 1)}1`);
    const turn = this.#model.turn();
    await this.#call(call, null, cursor);
    const after = String(await direct.hget(this.#sideKey, "#side"));
    if (after.slice(0, 1) === before.slice(0, 1)) {
      // Live holds are at rest, or the call has nothing to write.
      if (turn.made) turn.undo();
      await direct.hset(this.#sideKey, "#side", before);
    } else {
      expect(turn.made).toBe(true);
      this.#reached.turns += 1;
    }
  }

  async #call(call: Call, fault: string | null, cursor?: Cursor): Promise<void> {
    const { lane } = this.#setting;
    const place = cursor ?? (await this.#placeOf(call));
    if (lane !== undefined && (fault === "late request" || fault === "late reply")) {
      // A hold of 50 ms is waited for.
      if (call.kind === "lapse") return;
      const what = fault === "late request" ? "request" : "reply";
      const asked = this.#both(this.#struck, call, place);
      this.#late = await Late.send(lane.proxy, what, asked, 1 + (this.#calls.length % 7));
      this.#reached[what === "request" ? "lateRequests" : "lateReplies"] += 1;
      return;
    }
    const { ask, expected } = this.#both(fault === null ? this.#beside : this.#struck, call, place);
    if (lane !== undefined) strike(lane.proxy, fault);
    const answer = await answered(ask());
    const wanted = expected();
    if (answer["kind"] === "confirmed") this.#confirmed = true;
    if (answer["kind"] === "seeded") this.#reached.seeded += 1;
    if (answer["kind"] === "moved") this.#reached.moved += 1;
    if (call.kind !== "lapse" || wanted["state"] !== "held") {
      expect(answer).toEqual(wanted);
      return;
    }
    const { id: name } = call;
    const now = await this.#beside.outcome(name);
    if (now.kind === "reserved") await passed(this.#setting.direct, now.expiresAtMs);
    if (this.#model.lapse(name)) this.#expired = true;
    // Where it was over by then it was returned, too.
    if (now.kind === "reserved" && now.state === "expired") this.#model.returned();
    // On a slow machine it may be over before it is answered.
    expect(["held", "expired"]).toContain(answer["state"]);
    expect({ ...answer, state: "held" }).toEqual(wanted);
  }

  /** Where a count was taken: where the log stands, or where it stood at an earlier one. */
  async #placeOf(call: Call): Promise<Cursor | undefined> {
    if (call.kind !== "seed") return undefined;
    const { stale } = call as unknown as { stale: boolean };
    const earlier = stale ? this.#cursors.at(-1) : undefined;
    if (earlier !== undefined) return earlier;
    const cursor = await this.#beside.cursor();
    this.#model.returned();
    expect(cursor.sequence).toBe(this.#model.sequence);
    this.#cursors.push(cursor);
    return cursor;
  }

  #both(stock: Inventory, call: Call, place: Cursor | undefined): Asked {
    const model = this.#model;
    const {
      id: name,
      lines: asked,
      partial = false,
    } = call as unknown as { id: string; lines: Lines; partial?: boolean };
    const mark = String((call as { operationId?: string }).operationId);
    switch (call.kind) {
      case "reserve":
        return {
          ask: () => stock.reserve({ reservationId: name, lines: asked, allowPartial: partial, holdMs: longMs }),
          expected: () => model.order("reserve", name, asked, partial, longMs),
        };
      case "lapse":
        return {
          ask: () => stock.reserve({ reservationId: name, lines: asked, holdMs: 50 }),
          expected: () => model.order("reserve", name, asked, false, 50),
        };
      case "decrement":
        return {
          ask: () => stock.decrement({ operationId: name, lines: asked, allowPartial: partial }),
          expected: () => model.order("decrement", name, asked, partial),
        };
      case "confirm": {
        const { part, retake } = call as unknown as { part: Lines | null; retake: boolean };
        const request = { reservationId: name, operationId: mark, lines: part ?? undefined, retakeIfExpired: retake };
        return {
          ask: () => stock.confirm(request),
          expected: () => model.confirm(name, mark, part ?? undefined, retake),
        };
      }
      case "release":
        return {
          ask: () => stock.release({ reservationId: name, operationId: mark }),
          expected: () => model.release(name, mark),
        };
      case "extend": {
        const { other } = call as unknown as { other: string };
        // An extension is known where its reservation is.
        const operation = this.#setting.buckets === undefined ? `e ${other}` : `e ${other} ${name}`;
        return {
          ask: () => stock.extend({ reservationId: name, operationId: operation, holdMs: longMs }),
          expected: () => model.extend(operation, name, longMs),
        };
      }
      case "restock":
        return {
          ask: () => stock.restock({ operationId: name, lines: asked }),
          expected: () => model.order("restock", name, asked),
        };
      case "adjust": {
        const change = signed(asked, (call as unknown as { sign: number }).sign);
        return {
          ask: () => stock.adjust({ operationId: name, reason: "count", lines: change }),
          expected: () => model.order("adjust", name, change),
        };
      }
      case "outcome":
        return { ask: () => stock.outcome(name), expected: () => model.outcome(name) };
      case "sweep":
        return {
          ask: () => stock.sweep().then(() => ({})),
          expected: () => {
            model.returned();
            return {};
          },
        };
      case "seed": {
        const { counts } = call as unknown as { counts: Lines };
        const snapshot = counts.map(({ sku, quantity }) => ({ sku, onHand: quantity }));
        const ifCursor = place as Cursor;
        return {
          ask: () => stock.seed(snapshot, { ifCursor, operationId: name }),
          expected: () => model.seed(name, counts, ifCursor.sequence),
        };
      }
    }
  }

  async #compareLevels(): Promise<void> {
    const levels = await this.#beside.levels(skus);
    this.#model.returned();
    for (const sku of skus) expect({ sku, ...levels.get(sku) }).toEqual({ sku, ...this.#model.level(sku) });
  }

  /** The logs of all buckets make the levels of the model. */
  async #compareLogs(): Promise<void> {
    const replayed = new Map<string, { onHand: number; reserved: number }>();
    for (let bucket = 0; bucket < this.#beside.bucketCount; bucket += 1) {
      let sequence = 0;
      for await (const movement of this.#beside.movements({ bucket, pageMax: 17 })) {
        sequence += 1;
        expect(movement.sequence).toBe(sequence);
        for (const { sku, onHand, reserved } of movement.changes) {
          const level = replayed.get(sku) ?? { onHand: 0, reserved: 0 };
          replayed.set(sku, { onHand: level.onHand + onHand, reserved: level.reserved + reserved });
        }
      }
      if (this.#setting.buckets === undefined) expect(sequence).toBe(this.#model.sequence);
    }
    for (const [sku, { onHand, reserved }] of replayed) {
      expect(this.#model.level(sku)).toMatchObject({ onHand, reserved });
    }
  }
}
