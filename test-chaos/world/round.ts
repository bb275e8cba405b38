/**
 * One round: servers and pods are started, faults happen while the pods work, everything heals, the pods work on without faults, are made
 * quiet, and what happened is checked.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { History, pollUntil, random, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { Verdict } from "../checkers/verdict.ts";
import { canStepClocks, dealt, deckOf } from "../faults/deck.ts";
import type { Ground, Nemesis } from "../faults/nemesis.ts";
import type { ChaosEntry, ChaosEvent, Values } from "../history/event.ts";
import { recordOf } from "../history/record.ts";
import type { Conditions, RoundRecord, TopologyName } from "../history/record.ts";
import { checkProcesses } from "../checkers/processes.ts";
import { hasStruck, witnessesOf } from "../checkers/witness.ts";
import type { Witness } from "../checkers/witness.ts";
import type { Bench, Scenario, ScenarioModule } from "../scenarios/scenario.ts";
import { workCalmly } from "./calm.ts";
import { connect } from "./client.ts";
import { Place } from "./fleet.ts";
import type { FleetOrder } from "./fleet.ts";
import { WatchedHistory, watchServers } from "./loop-watch.ts";
import { startTopology } from "./topology.ts";
import type { Topology } from "./topology.ts";
import { World } from "./world.ts";

/** What a round is. Everything that is left to chance follows from the seed; the moments at which it meets the work do not. */
export interface RoundPlan {
  readonly seed: string;
  readonly topology: TopologyName;
  readonly ground: Ground;
  /** Addresses of the modules with the scenarios. */
  readonly modules: readonly string[];
  /** Only these nemeses; all when empty. */
  readonly nemeses: readonly string[];
  readonly pods: number;
  /** How long faults happen, in milliseconds: at least so long, and until each nemesis has come once. */
  readonly faultsMs: number;
  /** Where histories are written. */
  readonly folder: string;
}

/** What a round came to. */
export interface RoundResult {
  readonly plan: RoundPlan;
  readonly record: RoundRecord;
  readonly verdicts: readonly Verdict[];
  readonly witnesses: readonly Witness[];
  readonly tookMs: number;
}

/** Tells how far a round is. */
export type OnProgress = (words: string) => void;

const healedWithinMs = 3_500;
/** On a busy machine it takes longer until each nemesis has come once; at most so much longer. */
const patienceMs = 60_000;
const strikesAgainMax = 5;
const atWorkWithinMs = 60_000;
/** For a pod that hangs; on a busy machine any other takes its time. */
const podEndsWithinMs = 60_000;
const answersWithinMs = 60_000;

class Round {
  private readonly plan: RoundPlan;
  private readonly report: OnProgress;
  private readonly signal: AbortSignal;
  private readonly history: History<ChaosEvent>;
  private readonly runnerPath: string;

  constructor(plan: RoundPlan, report: OnProgress, signal: AbortSignal) {
    this.plan = plan;
    this.report = report;
    this.signal = signal;
    this.runnerPath = join(plan.folder, "runner.jsonl");
    this.history = new WatchedHistory({ path: this.runnerPath, process: "runner" });
  }

  async run(): Promise<RoundResult> {
    const startedMs = performance.now();
    const { plan } = this;
    const conditions = conditionsOf(plan);
    const modules = await Promise.all(plan.modules.map((url) => import(url) as Promise<ScenarioModule>));
    const scenarios = modules
      .map(({ scenario }) => scenario)
      .filter(({ topologies = [plan.topology] }) => topologies.includes(plan.topology));
    this.report("starting the servers");
    await using stack = new AsyncDisposableStack();
    stack.defer(() => this.history.close());
    const topology = stack.use(await startTopology(plan.topology));
    const ledger = stack.use(await RedisServer.start());
    const given: Record<string, Values> = {};
    const bench = this.bench(stack, topology, ledger, { conditions, given });
    for (const scenario of scenarios)
      given[scenario.name] = (await scenario.prepare?.(bench(scenario.name, () => Promise.resolve([])))) ?? {};
    const names = new Set(scenarios.map(({ name }) => name));
    const urls = plan.modules.filter((_, index) => names.has(modules[index]?.scenario.name ?? ""));
    const order = { seed: plan.seed, modules: urls, prefix: "chaos", conditions, given };
    const places = await this.places(stack, topology, ledger, order);
    const world = new World(topology, places, ledger, this.history);
    this.report(`starting ${places.length} pods`);
    await Promise.all(places.map((place) => place.start()));
    const read = (): Promise<ChaosEntry[]> =>
      History.read<ChaosEvent>(this.runnerPath, ...places.flatMap(({ histories }) => histories));
    this.watch(stack, [...topology.servers, ledger]);
    await this.atWork(scenarios, places, read);
    const deck = deckOf(plan.topology, plan.ground, plan.nemeses, await canStepClocks());
    await this.torment(world, deck);
    await this.tormentAgain(world, deck, async () => recordOf(await read(), conditions, {}));
    await this.heal(world);
    const { report, signal } = this;
    await workCalmly({ healedWithinMs }, { history: this.history, read, report, signal });
    for (const place of places) await place.pod.request("quiet", undefined, answersWithinMs);
    this.report("coming to rest");
    for (const scenario of scenarios) await scenario.settle?.(bench(scenario.name, read));
    await Promise.all(places.map((place) => place.pod.term(podEndsWithinMs)));
    const findings = await this.inspect(scenarios, bench, read);
    this.history.record({ kind: "phase", phase: "finished" });
    const record = recordOf(await read(), conditions, findings);
    await writeHistory(plan.folder, record);
    const verdicts = [...scenarios.flatMap((scenario) => scenario.check(record)), checkProcesses(record)];
    const witnesses = witnessesOf(record, deck);
    return { plan, record, verdicts, witnesses, tookMs: performance.now() - startedMs };
  }

  private async places(
    stack: AsyncDisposableStack,
    topology: Topology,
    ledger: RedisServer,
    order: FleetOrder,
  ): Promise<Place[]> {
    const { plan } = this;
    const places: Place[] = [];
    for (let number = 1; number <= plan.pods; number += 1) {
      const name = `pod-${number}`;
      const chance = random(`${plan.seed}/network/${name}`);
      places.push(stack.use(await Place.make(name, plan.folder, order, { topology, ledger, random: chance })));
    }
    return places;
  }

  private bench(
    stack: AsyncDisposableStack,
    topology: Topology,
    ledger: RedisServer,
    { conditions, given }: { readonly conditions: Conditions; readonly given: Readonly<Record<string, Values>> },
  ): (scenario: string, entries: () => Promise<readonly ChaosEntry[]>) => Bench {
    const redis = connect(topology.plan(({ host, port }) => ({ host, port })));
    // A failover that it hears of while it connects ends it for good (ioredis 5 and 6). The packages connect it again, plain commands do not.
    const revive = (): void => void redis.connect().catch(() => undefined);
    redis.on("end", revive);
    stack.defer(() => {
      redis.off("end", revive);
      redis.disconnect();
    });
    const resources = new Redis(ledger.url);
    stack.defer(() => resources.disconnect());
    return (scenario, entries) => ({
      redis,
      ledger: resources,
      prefix: "chaos",
      random: random(`${this.plan.seed}/bench/${scenario}`),
      conditions,
      given: given[scenario] ?? {},
      own: (resource) => void stack.use(resource),
      entries,
      note: (what, resource, values = {}) => this.history.record({ kind: "noted", scenario, what, resource, values }),
    });
  }

  /** Faults begin when there is work that they can hit: calls of every scenario that makes any, in every pod. */
  private async atWork(
    scenarios: readonly Scenario[],
    places: readonly Place[],
    read: () => Promise<ChaosEntry[]>,
  ): Promise<void> {
    this.report("waiting for work");
    const isAtWork = async (): Promise<boolean> => {
      const entries = await read();
      const wanted = places.flatMap(({ name }) => scenarios.map((scenario) => `${name}.1 ${scenario.name}`));
      const seen = new Set(entries.map((entry) => ("scenario" in entry ? `${entry.process} ${entry.scenario}` : "")));
      return wanted.every((each) => seen.has(each));
    };
    await pollUntil("every scenario works in every pod", isAtWork, { timeoutMs: atWorkWithinMs, intervalMs: 50 }).catch(
      // What has not begun by now is missing in what the checkers count.
      () => undefined,
    );
  }

  /** Faults, in two lanes: one for pods and their networks, one for the servers. */
  private async torment(world: World, deck: readonly Nemesis[]): Promise<void> {
    const { plan, signal } = this;
    this.history.record({ kind: "phase", phase: "faults" });
    const startMs = performance.now();
    const spentMs = (): number => performance.now() - startMs;
    const lanes = (["pods", "redis"] as const).map(async (lane) => {
      const chance = random(`${plan.seed}/faults/${lane}`);
      const wanted = deck.filter((nemesis) => nemesis.lane === lane).length;
      let struck = 0;
      for (const nemesis of dealt(deck, lane, chance)) {
        const goesOn = spentMs() < plan.faultsMs || (struck < wanted && spentMs() < plan.faultsMs + patienceMs);
        if (!goesOn || signal.aborted) return;
        this.report(`${Math.round(spentMs() / 1_000)} s of faults: ${nemesis.name}`);
        await nemesis.strike(world, chance);
        struck += 1;
        await delay(chance.int(100, lane === "pods" ? 350 : 900));
      }
    });
    await Promise.all(lanes);
    signal.throwIfAborted();
  }

  /** Whether a strike meets work is a matter of luck: one that has met none comes again. */
  private async tormentAgain(
    world: World,
    deck: readonly Nemesis[],
    recordSoFar: () => Promise<RoundRecord>,
  ): Promise<void> {
    const chance = random(`${this.plan.seed}/faults/again`);
    for (let tries = 1; tries <= strikesAgainMax; tries += 1) {
      const witnesses = witnessesOf(await recordSoFar(), deck);
      const missed = deck.filter(({ name }) => witnesses.some((each) => each.nemesis === name && !hasStruck(each)));
      if (missed.length === 0) return;
      for (const nemesis of missed) {
        this.report(`${nemesis.name} hit nothing: again`);
        await nemesis.strike(world, chance);
        this.signal.throwIfAborted();
      }
    }
  }

  private async heal(world: World): Promise<void> {
    this.report("healing");
    for (const place of world.places) {
      await place.heal();
      if (place.isRunning) place.pod.resume();
      else await place.start();
    }
    await world.topology.ready();
    this.history.record({ kind: "phase", phase: "healed" });
  }

  /** What the machine does belongs into the history, as what is done to it: each process notices itself, the servers are asked. */
  private watch(stack: AsyncDisposableStack, servers: readonly RedisServer[]): void {
    const over = new AbortController();
    const watching = watchServers(this.history, servers, over.signal);
    stack.defer(() => {
      over.abort();
      return watching;
    });
  }

  private async inspect(
    scenarios: readonly Scenario[],
    bench: (scenario: string, entries: () => Promise<readonly ChaosEntry[]>) => Bench,
    read: () => Promise<ChaosEntry[]>,
  ): Promise<Record<string, unknown>> {
    const findings: Record<string, unknown> = {};
    for (const scenario of scenarios) findings[scenario.name] = await scenario.inspect?.(bench(scenario.name, read));
    return findings;
  }
}

function conditionsOf({ topology, ground, nemeses }: RoundPlan): Conditions {
  const deck = deckOf(topology, ground, nemeses, true);
  return {
    topology,
    forgets: deck.some((nemesis) => nemesis.ground === "forgets"),
    stepsClock: deck.some((nemesis) => nemesis.ground === "steps-clock"),
    healedWithinMs,
  };
}

async function writeHistory(folder: string, record: RoundRecord): Promise<void> {
  const lines = record.entries.map((entry) => `${JSON.stringify(entry)}\n`);
  await writeFile(join(folder, "history.jsonl"), lines.join(""));
}

/**
 * Plays a round to its end.
 * @param signal ends it early; whatever was started is gone when this rejects
 * @throws the signal's reason; any other error means that the round could not be played
 */
export async function playRound(plan: RoundPlan, report: OnProgress, signal: AbortSignal): Promise<RoundResult> {
  // Histories are appended to: what an earlier round has left would be taken for this one's.
  await rm(plan.folder, { recursive: true, force: true });
  await mkdir(plan.folder, { recursive: true });
  return new Round(plan, report, signal).run();
}
