/** One round in containers: the scenarios and checkers of the processes, under the faults of an orchestrator. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { History, pollUntil, random } from "@holdfast/testkit";
import type { SeededRandom } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { ContainerRuntimeClient } from "testcontainers";
import { checkProcesses } from "../checkers/processes.ts";
import type { Verdict } from "../checkers/verdict.ts";
import type { ChaosEntry, ChaosEvent } from "../history/event.ts";
import { recordOf } from "../history/record.ts";
import type { Conditions, RoundRecord } from "../history/record.ts";
import { callsHit } from "../history/window.ts";
import type { Bench, ScenarioModule } from "../scenarios/scenario.ts";
import { ContainerFleet } from "./fleet.ts";
import type { Member } from "./fleet.ts";
import { workCalmly } from "../world/calm.ts";
import { WatchedHistory } from "../world/loop-watch.ts";
import { freeLoopbackPort } from "./free-port.ts";

/** What a round in containers is. */
export interface ContainerPlan {
  readonly seed: string;
  readonly modules: readonly string[];
  readonly folder: string;
}

/** What it came to. */
export interface ContainerResult {
  readonly record: RoundRecord;
  readonly verdicts: readonly Verdict[];
  /** Strikes of each fault that hit calls under way. */
  readonly struck: Readonly<Record<string, number>>;
}

const conditions: Conditions = { topology: "single", forgets: false, stepsClock: false, healedWithinMs: 3_500 };
const podNames = ["pod-1", "pod-2", "pod-3"];
const podEndsWithinMs = 60_000;
/** The names of the faults, in the order of this file. */
export const containerFaults: readonly string[] = [
  "pod-kill",
  "pod-pause",
  "pod-disconnect",
  "redis-pause",
  "redis-disconnect",
  "redis-kill",
];

class ContainerRound {
  private readonly fleet: ContainerFleet;
  private readonly history: History<ChaosEvent>;
  private readonly pods = new Map<string, Member>();
  private readonly redis: Member;
  private readonly chance: SeededRandom;
  private strikes = 0;

  constructor(fleet: ContainerFleet, history: History<ChaosEvent>, redis: Member, seed: string) {
    this.fleet = fleet;
    this.history = history;
    this.redis = redis;
    this.chance = random(`${seed}/containers`);
  }

  async startPods(): Promise<void> {
    for (const name of podNames) this.pods.set(name, await this.fleet.startPod(name));
  }

  /** Every fault twice, in an order that the seed decides. */
  async torment(): Promise<void> {
    this.history.record({ kind: "phase", phase: "faults" });
    for (const fault of this.chance.shuffle([...containerFaults, ...containerFaults])) {
      await this.strike(fault);
      await delay(this.chance.int(200, 600));
    }
  }

  async end(): Promise<void> {
    for (const pod of this.pods.values()) await this.fleet.signal(pod, "SIGTERM");
    await Promise.all([...this.pods.values()].map((pod) => this.fleet.ended(pod, podEndsWithinMs)));
  }

  async quiet(): Promise<void> {
    for (const pod of this.pods.values()) await this.fleet.signal(pod, "SIGUSR2");
  }

  private async strike(nemesis: string): Promise<void> {
    const name = this.chance.pick(podNames);
    const pod = this.pods.get(name);
    if (pod === undefined) return;
    this.strikes += 1;
    const ofPod = nemesis.startsWith("pod-");
    const pods = ofPod ? [name] : podNames;
    const mark = {
      kind: "fault" as const,
      nemesis,
      strike: this.strikes,
      pods,
      what: ofPod ? `${nemesis} of ${name}` : nemesis,
    };
    this.history.record({ ...mark, phase: "begin" });
    await this.suffer(nemesis, pod, this.chance.int(300, 1_600));
    this.history.record({ ...mark, phase: "end" });
  }

  private async suffer(nemesis: string, pod: Member, forMs: number): Promise<void> {
    const member = nemesis.startsWith("pod-") ? pod : this.redis;
    switch (nemesis) {
      case "pod-kill":
        await this.fleet.kill(pod);
        this.pods.set(pod.alias, await this.fleet.startPod(pod.alias));
        return;
      case "redis-kill":
        await this.fleet.kill(member);
        await delay(forMs / 4);
        await this.fleet.startAgain(member);
        return;
      case "pod-pause":
      case "redis-pause":
        await this.fleet.pause(member);
        await delay(forMs);
        await this.fleet.unpause(member);
        return;
      default:
        await this.fleet.disconnect(member);
        await delay(forMs);
        await this.fleet.reconnect(member);
    }
  }
}

/** Plays a round. What it started is gone when this settles. */
export async function playInContainers(
  client: ContainerRuntimeClient,
  image: string,
  plan: ContainerPlan,
): Promise<ContainerResult> {
  await rm(plan.folder, { recursive: true, force: true });
  await mkdir(plan.folder, { recursive: true });
  const modules = await Promise.all(plan.modules.map((url) => import(url) as Promise<ScenarioModule>));
  const scenarios = modules.map(({ scenario }) => scenario);
  const runnerPath = join(plan.folder, "runner.jsonl");
  using history = new WatchedHistory({ path: runnerPath, process: "runner" });
  await using fleet = await ContainerFleet.make(client, image, { ...plan, conditions });
  const ports = { redis: await freeLoopbackPort(), ledger: await freeLoopbackPort() };
  const server = await fleet.startRedis("redis", ports.redis);
  await fleet.startRedis("ledger", ports.ledger);
  const [redis, ledger] = [ports.redis, ports.ledger].map(
    (port) => new Redis({ host: "127.0.0.1", port, retryStrategy: () => 50 }),
  );
  if (redis === undefined || ledger === undefined) throw new Error("there are two servers");
  redis.on("error", () => undefined);
  const read = (): Promise<ChaosEntry[]> => History.read<ChaosEvent>(runnerPath, ...fleet.histories);
  const benchOf = (name: string): Bench => ({
    redis,
    ledger,
    prefix: "chaos",
    random: random(`${plan.seed}/bench/${name}`),
    conditions,
    given: {},
    own: () => undefined,
    entries: read,
    note: (what, resource, values = {}) =>
      void history.record({ kind: "noted", scenario: name, what, resource, values }),
  });
  try {
    for (const scenario of scenarios) await scenario.prepare?.(benchOf(scenario.name));
    const round = new ContainerRound(fleet, history, server, plan.seed);
    await round.startPods();
    await round.torment();
    await pollUntil("Redis answers", () => redis.ping(), { timeoutMs: 60_000 });
    history.record({ kind: "phase", phase: "healed" });
    await workCalmly(conditions, { history, read, report: () => undefined });
    await round.quiet();
    for (const scenario of scenarios) await scenario.settle?.(benchOf(scenario.name));
    await round.end();
    const findings: Record<string, unknown> = {};
    for (const scenario of scenarios) findings[scenario.name] = await scenario.inspect?.(benchOf(scenario.name));
    history.record({ kind: "phase", phase: "finished" });
    const record = recordOf(await read(), conditions, findings);
    const struck: Record<string, number> = Object.fromEntries(containerFaults.map((fault) => [fault, 0]));
    for (const window of record.faults)
      if (callsHit(window, record.operations) > 0) struck[window.nemesis] = (struck[window.nemesis] ?? 0) + 1;
    const verdicts = [...scenarios.flatMap((scenario) => scenario.check(record)), checkProcesses(record)];
    return { record, verdicts, struck };
  } finally {
    redis.disconnect();
    ledger.disconnect();
  }
}
