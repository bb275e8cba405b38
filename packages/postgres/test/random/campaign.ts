/** The rounds of the random suite: orders to the actors, harm to one of them, relays and a ledger beside it. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, type SeededRandom } from "@holdfast/testkit";
import type { DurableTimer } from "@holdfast/timer";
import type { Pool } from "pg";
import { applyMovements, HoldfastError, type OutboxTimer } from "../../src/index.ts";
import type { Payload, RelayStage } from "../relay-stage.ts";
import { type Actor, FarActor, type Fault, NearActor } from "./actors.ts";
import { MovementLog } from "./movement-log.ts";
import { Plan } from "./plan.ts";
import type { Report } from "./work.ts";

/** One thing that the timer was told. */
export interface Told {
  readonly operationId: string;
  readonly id: string;
  /** The order that wished it; null for a cancellation. */
  readonly wish: string | null;
}

/** The timer at the end of a slow line, with a journal of what it was told. */
class RecordedTimer implements OutboxTimer<Payload> {
  readonly told: Told[] = [];
  readonly #timer: DurableTimer<Payload>;
  readonly #random: SeededRandom;

  constructor(timer: DurableTimer<Payload>, random: SeededRandom) {
    this.#timer = timer;
    this.#random = random;
  }

  get name(): string {
    return this.#timer.name;
  }

  async schedule(request: Parameters<OutboxTimer<Payload>["schedule"]>[0]): Promise<unknown> {
    await delay(this.#random.int(0, 30));
    const answer = await this.#timer.schedule(request);
    this.told.push({ operationId: request.operationId, id: request.id, wish: request.payload.order });
    return answer;
  }

  async cancel(id: string, options: { readonly operationId: string }): Promise<unknown> {
    await delay(this.#random.int(0, 30));
    const answer = await this.#timer.cancel(id, options);
    this.told.push({ operationId: options.operationId, id, wish: null });
    return answer;
  }
}

/** Whether an order met a fault. */
export function harmed({ outcome, resolved }: Report): boolean {
  return outcome === "nothing" || outcome === "unknown" || outcome === "lost" || resolved !== undefined;
}

/** What a run of many rounds came to. */
export class Campaign {
  readonly reports: Report[] = [];
  readonly log: MovementLog = new MovementLog();
  /** Rounds in which a fault met work of its victim, by fault; and sessions of the background that were ended at work. */
  readonly hits: Map<Fault | "relay" | "ledger", number> = new Map();
  readonly #stage: RelayStage;
  readonly #random: SeededRandom;
  readonly #timer: RecordedTimer;
  readonly #ledgerPool: Pool;
  #actors: readonly Actor[] = [];

  constructor(stage: RelayStage, random: SeededRandom) {
    this.#stage = stage;
    this.#random = random;
    this.#timer = new RecordedTimer(stage.timer, random.fork("timer"));
    this.#ledgerPool = stage.database.open({ application_name: "ledger" });
  }

  get told(): readonly Told[] {
    return this.#timer.told;
  }

  async run(rounds: number): Promise<void> {
    const { database } = this.#stage;
    const relayPool = database.open({ application_name: "relay" });
    this.#actors = await Promise.all([
      NearActor.start("near-1", database),
      NearActor.start("near-2", database),
      FarActor.start("far-1", database),
      FarActor.start("far-2", database),
    ]);
    try {
      for (let relays = 0; relays < 2; relays += 1) {
        await this.#stage.relay({ rowsMax: 5, backoff: { baseMs: 10, delayMaxMs: 50 } }, this.#timer, relayPool);
      }
      const plan = new Plan(this.#random.fork("plan"), this.#timer.name);
      for (let round = 0; round < rounds; round += 1) await this.#round(plan, round);
      await this.#rest();
    } finally {
      await Promise.all(this.#actors.map((actor) => actor.stop()));
    }
  }

  async #round(plan: Plan, round: number): Promise<void> {
    const random = this.#random;
    const victim = random.pick(this.#actors);
    const faults = victim.faults.filter((each) => each !== "mute" || random.chance(0.4));
    const fault = random.chance(0.25) ? "none" : random.pick(faults);
    this.log.grow(random);
    // The victim gets its share, so that the fault meets work.
    const running = plan.round(round).map((order, place) => {
      const actor = place % 2 === 0 ? victim : random.pick(this.#actors);
      return { actor, report: actor.perform(order) };
    });
    const others = Promise.all(running.flatMap(({ actor, report }) => (actor === victim ? [] : [report])));
    const ledger = [0, 1].map(() => this.#applyMovements());
    const harm = victim.harm(fault, random, others);
    if (random.chance(0.3)) await this.#endSessions("relay");
    if (random.chance(0.3)) await this.#endSessions("ledger");
    await Promise.all([harm, ...ledger]);
    const reports = await Promise.all(running.map(async ({ actor, report }) => ({ actor, report: await report })));
    if (reports.some(({ actor, report }) => actor === victim && harmed(report))) this.#count(fault);
    this.reports.push(...reports.map(({ report }) => report));
  }

  #count(hit: Fault | "relay" | "ledger"): void {
    this.hits.set(hit, (this.hits.get(hit) ?? 0) + 1);
  }

  async #applyMovements(): Promise<void> {
    try {
      await applyMovements(this.#ledgerPool, this.log, { batchMax: 2 });
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
    }
  }

  async #endSessions(name: string): Promise<void> {
    const { rowCount } = await this.#stage.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'",
      [name],
    );
    if ((rowCount ?? 0) > 0) this.#count(name as "relay" | "ledger");
  }

  /** Everything comes to an end: no transaction is open, the outbox is empty, the ledger is up to date. */
  async #rest(): Promise<void> {
    const { pool, database } = this.#stage;
    await pollUntil("no transaction is open", async () => {
      const open = "application_name NOT IN ('relay', 'ledger') AND state LIKE '%transaction%'";
      return (await database.value(`SELECT count(*) FROM pg_stat_activity WHERE ${open}`)) === "0";
    });
    await applyMovements(pool, this.log);
    await this.#stage.drained();
  }
}
