/** One seeded run: clients, workers and faults at random, until everything is healed and at rest. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import type { RedisServer, SeededRandom } from "@holdfast/testkit";
import { HoldfastError, OutcomeUnknownError } from "@holdfast/core";
import { SupersededError } from "../../src/index.ts";
import type { CancelResult, DurableTimer, Firing, ScheduleResult, TimerWorker } from "../../src/index.ts";
import { schedule } from "../../src/scripts.generated.ts";
import { Desk } from "../client.ts";
import { Journal } from "./journal.ts";
import { StoppableProcess } from "./stopped-process.ts";

/** Numbers of one run. */
export interface Tally {
  operations: number;
  readonly schedules: Record<ScheduleResult["kind"], number>;
  readonly cancels: Record<CancelResult["kind"], number>;
  superseded: number;
  unknown: number;
  starts: number;
  failures: number;
  /** Faults that hit work in flight. */
  lostReplies: number;
  doubledRequests: number;
  lateRequests: number;
  kills: number;
  pauses: number;
  blackouts: number;
  /** Acknowledgements that were refused, since the lease was another's by then. */
  stale: number;
}

/** A tally of nothing. */
export function emptyTally(): Tally {
  return {
    operations: 0,
    schedules: { scheduled: 0, kept: 0, replaced: 0, firing: 0 },
    cancels: { cancelled: 0, firing: 0, absent: 0 },
    superseded: 0,
    unknown: 0,
    starts: 0,
    failures: 0,
    lostReplies: 0,
    doubledRequests: 0,
    lateRequests: 0,
    kills: 0,
    pauses: 0,
    blackouts: 0,
    stale: 0,
  };
}

/** Attempts after which a timer of a run is a dead letter. */
export const attemptsMax: number = 4;
const leaseMs = 120;
const steps = 45;
const ids = ["a", "b", "c", "d"];

/** A worker on a connection of its own, which can stand still and vanish. */
interface Replica {
  readonly desk: Desk;
  readonly process: StoppableProcess;
  readonly worker: TimerWorker<undefined>;
  readonly running: Set<Firing<undefined>>;
}

/** The world of one run. */
export class ModelRun {
  readonly journal: Journal = new Journal();
  readonly tally: Tally = emptyTally();
  readonly #random: SeededRandom;
  readonly #server: RedisServer;
  readonly #name: string;
  readonly #desk = new Desk();
  readonly #pauses: Promise<void>[] = [];
  /** Sees what has died. Not in a hurry, unlike the clients of the run. */
  readonly #observer: DurableTimer;
  readonly #graves = new Set<string>();
  #healing = false;

  constructor(random: SeededRandom, server: RedisServer, name: string) {
    this.#random = random;
    this.#server = server;
    this.#name = name;
    this.#observer = this.#desk.timer(server.url, name);
  }

  /** Runs to the end; afterwards journal and tally are complete. */
  async play(): Promise<void> {
    await using desk = this.#desk;
    await using proxy = await FaultProxy.start(this.#server);
    const options = { commandTimeoutMs: 250 };
    const direct = desk.timer(this.#server.url, this.#name, options);
    const shaky = desk.timer(proxy.url, this.#name, options);
    await pollUntil("both clients have opened the timer", () => Promise.all([direct.stats(), shaky.stats()]));
    let replicas = [await this.#replica(proxy), await this.#replica(this.#server)];
    for (let step = 0; step < steps; step += 1) {
      const dice = this.#random.unit();
      const id = ids[this.#random.int(0, ids.length - 1)] as string;
      const client = this.#random.unit() < 0.5 ? direct : shaky;
      if (dice < 0.48) await this.#schedule(client, id);
      else if (dice < 0.7) await this.#cancel(client, id);
      else if (dice < 0.76) await this.#lateSchedule(proxy, shaky, direct, id);
      else if (dice < 0.79) await this.#hitSchedule("lostReplies", proxy, shaky, id);
      else if (dice < 0.82) await this.#hitSchedule("doubledRequests", proxy, shaky, id);
      else if (dice < 0.88) {
        proxy.blackhole("both");
        if (replicas[0]?.running.size !== 0) this.tally.blackouts += 1;
        await delay(this.#random.int(20, 160));
        await proxy.heal(this.#random.unit() < 0.5 ? { held: "drop" } : { held: "deliver" });
      } else if (dice < 0.92) replicas = await this.#kill(replicas, proxy);
      else if (dice < 0.97) this.#pause(replicas[this.#random.int(0, 1)] as Replica);
      else await delay(this.#random.int(1, 25));
    }
    this.#healing = true;
    await proxy.heal();
    await Promise.all(this.#pauses);
    await this.#rest();
    for (const replica of replicas) await this.#end(replica);
  }

  async #schedule(client: DurableTimer, id: string): Promise<void> {
    const ifExists = (["keep", "replace", "earliest", "replace"] as const)[this.#random.int(0, 3)];
    const request = { id, afterMs: this.#random.unit() < 0.4 ? 0 : this.#random.int(1, 60), ifExists };
    const askedUs = Date.now() * 1_000;
    const result = await this.#certain((operationId) => client.schedule({ ...request, operationId }));
    if (result === undefined) {
      this.tally.superseded += 1;
      this.journal.superseded(id);
      return;
    }
    await this.#lookAtGraves();
    this.journal.set(id, result, askedUs);
    this.tally.schedules[result.kind] += 1;
  }

  /** A schedule whose reply is lost, so that the client sends it again, or that the network delivers twice. */
  async #hitSchedule(
    fault: "lostReplies" | "doubledRequests",
    proxy: FaultProxy,
    shaky: DurableTimer,
    id: string,
  ): Promise<void> {
    const rule = fault === "lostReplies" ? proxy.swallowReply("evalsha") : proxy.repeat("evalsha", { keep: "last" });
    await this.#schedule(shaky, id);
    if (rule.hits > 0) this.tally[fault] += 1;
    rule.cancel();
  }

  async #cancel(client: DurableTimer, id: string): Promise<void> {
    const result = await this.#certain((operationId) => client.cancel(id, { operationId }));
    if (result === undefined) throw new Error("a cancel is never superseded");
    this.journal.cancelled(id, result.kind);
    this.tally.cancels[result.kind] += 1;
  }

  /** A schedule that is under way while the timer is cancelled, and arrives afterwards. */
  async #lateSchedule(proxy: FaultProxy, shaky: DurableTimer, direct: DurableTimer, id: string): Promise<void> {
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const operationId = this.#random.id();
    const request = { id, afterMs: 0, operationId };
    const late = shaky.schedule(request).then(
      (result) => `${id}: a schedule that was asked for before a cancel was carried out after it (${result.kind})`,
      (error: unknown) => {
        if (error instanceof SupersededError || error instanceof OutcomeUnknownError) return undefined;
        if (error instanceof HoldfastError && error.effect === "none") return undefined;
        return String(error);
      },
    );
    const hit = await Promise.race([held.hit.then(() => true), delay(100).then(() => false)]);
    if (!hit) {
      // The connection was just being made again, and the request has got through or will not: asking again tells which.
      held.release();
      await late;
      await this.#repeat(request, direct);
      return;
    }
    this.tally.operations += 1;
    this.tally.lateRequests += 1;
    await this.#cancel(direct, id);
    held.release();
    const wrong = await late;
    if (wrong !== undefined) throw new Error(`T5 ${wrong}`);
  }

  /** Asks again for a schedule whose answer is of no use, to learn what stands. */
  async #repeat(request: { id: string; afterMs: number; operationId: string }, client: DurableTimer): Promise<void> {
    const askedUs = Date.now() * 1_000;
    const result = await this.#certain(() => client.schedule(request));
    await this.#lookAtGraves();
    if (result !== undefined) this.journal.set(request.id, result, askedUs);
  }

  /** Repeats a call under its operation id until its outcome is known; undefined when it was superseded. */
  async #certain<Result>(call: (operationId: string) => Promise<Result>): Promise<Result | undefined> {
    const operationId = this.#random.id();
    this.tally.operations += 1;
    for (let tries = 1; ; tries += 1) {
      try {
        return await call(operationId);
      } catch (error) {
        if (error instanceof SupersededError) return undefined;
        if (!(error instanceof HoldfastError) || tries === 40) throw error;
        if (error instanceof OutcomeUnknownError) this.tally.unknown += 1;
        await delay(5);
      }
    }
  }

  async #replica(target: { readonly host: string; readonly port: number }): Promise<Replica> {
    const desk = new Desk();
    const running = new Set<Firing<undefined>>();
    const process = await StoppableProcess.start(target);
    const timer = desk.timer(process.url, this.#name, { commandTimeoutMs: 250, clock: process.clock });
    const backoff = { baseMs: 2, delayMaxMs: 10, jitter: 0 };
    const worker = timer.worker({ leaseMs, pollMs: 20, attemptsMax, backoff, concurrencyMax: 3 }, async (firing) => {
      this.journal.started(firing);
      this.tally.starts += 1;
      running.add(firing);
      try {
        await this.#handle(firing);
      } finally {
        await process.goesOn;
        running.delete(firing);
      }
    });
    await worker.start();
    return { desk, process, worker, running };
  }

  async #handle(firing: Firing<undefined>): Promise<void> {
    const dice = this.#healing ? 1 : this.#random.unit();
    if (dice < 0.15) {
      this.tally.failures += 1;
      throw new Error("by chance");
    }
    if (dice < 0.75) await delay(this.#random.int(1, 60));
    else if (dice < 0.85) {
      // Longer than a lease, so that it has to be renewed; ends when it is told to.
      await delay(leaseMs * 1.5, undefined, { signal: firing.signal }).catch(() => undefined);
    }
  }

  /** One replica vanishes with all it has: its connection is cut, its handlers go on like ghosts. */
  async #kill(replicas: readonly Replica[], proxy: FaultProxy): Promise<Replica[]> {
    const victim = this.#random.int(0, 1);
    const replica = replicas[victim] as Replica;
    if (replica.running.size > 0) this.tally.kills += 1;
    await this.#end(replica);
    const heir = await this.#replica(victim === 0 ? proxy : this.#server);
    return replicas.map((one, index) => (index === victim ? heir : one));
  }

  async #end({ desk, process, worker }: Replica): Promise<void> {
    // Its last moments are in its own time, or closing it would stand still, too.
    await process.resume();
    await desk[Symbol.asyncDispose]();
    this.tally.stale += worker.counts().stale;
    await process[Symbol.asyncDispose]();
  }

  /** One replica stands still, now and then for longer than its leases, and goes on in the middle of what the others do. */
  #pause({ process, running }: Replica): void {
    if (process.isStopped) return;
    if (running.size > 0) this.tally.pauses += 1;
    process.stop();
    this.#pauses.push(delay(this.#random.int(10, leaseMs * 3)).then(() => process.resume()));
  }

  async #rest(): Promise<void> {
    await pollUntil(
      "everything has fired",
      async () => {
        await this.#lookAtGraves();
        const { pending, leased } = await this.#observer.stats();
        return pending === 0 && leased === 0;
      },
      { timeoutMs: 60_000, intervalMs: 10 },
    );
    await this.#lookAtGraves();
  }

  /** An id has one dead letter, so that each is looked for before a later generation can have died, too. */
  async #lookAtGraves(): Promise<void> {
    for (const { id, generation, attempts } of await this.#observer.dead.list()) {
      const grave = `${id} ${generation}`;
      if (this.#graves.has(grave)) continue;
      this.#graves.add(grave);
      this.journal.buried(id, generation, attempts);
    }
  }
}
