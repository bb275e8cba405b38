/**
 * Owns the replicas as a Kubernetes Deployment with maxSurge 1 and maxUnavailable 0 does: a new replica is ready before an old one is asked
 * to go, and traffic learns of a change a little late.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { StagePods } from "@holdfast-examples/stage";
import { Replica } from "./replica.ts";

/** What happened to the replicas. */
export interface DeploymentCounts {
  /** Old replicas that were replaced by the rolling deployment. */
  replaced: number;
  /** Of those, how many had to be killed at the end of their grace period. */
  overran: number;
  /** Replicas killed with no warning. */
  crashed: number;
}

/** How the deployment treats its replicas. */
export interface DeploymentOptions {
  readonly pods: StagePods;
  readonly env: Readonly<Record<string, string>>;
  readonly terminationGraceMs: number;
  /** How long a terminating replica still gets requests. */
  readonly endpointDelayMs: number;
  say(line: string): void;
}

/** Some replicas of one service. */
export class Deployment implements AsyncDisposable {
  readonly counts: DeploymentCounts = { replaced: 0, overran: 0, crashed: 0 };
  private readonly options: DeploymentOptions;
  private readonly replicas: Replica[] = [];
  private readonly endpoints = new Set<Replica>();
  private readonly endings: Promise<void>[] = [];
  private version = 1;
  private started = 0;

  constructor(options: DeploymentOptions) {
    this.options = options;
  }

  /** Where requests can go, as a load balancer believes it. */
  urls(): readonly string[] {
    return [...this.endpoints].map((replica) => replica.url);
  }

  /** Every replica that is not gone, and its state. */
  states(): readonly string[] {
    return this.replicas.filter(({ state }) => state !== "gone").map(({ name, state }) => `${name} ${state}`);
  }

  /** Resolves when `count` replicas are ready. */
  async scaleTo(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count - this.endpoints.size }, () => this.add()));
  }

  /** Replaces every replica by one of the next version, one after the other. Does not wait for the end of the last old ones. */
  async roll(): Promise<void> {
    const old = [...this.endpoints];
    this.version += 1;
    for (const replica of old) {
      const fresh = await this.add();
      this.options.say(`${fresh.name} is ready, ${replica.name} gets SIGTERM`);
      const ending = this.retire(replica);
      this.endings.push(ending);
      // A failure is for settled() to tell; until then it is not an unhandled one.
      ending.catch(() => undefined);
    }
  }

  /** Kills the newest replica with no warning; a new one takes its place, as a kubelet sees to it. */
  async crash(): Promise<void> {
    const victim = [...this.endpoints].at(-1);
    if (victim === undefined) throw new Error("There is no replica to kill.");
    this.options.say(`${victim.name} gets SIGKILL, with no warning`);
    const gone = victim.kill();
    this.counts.crashed += 1;
    const fresh = await this.add();
    // Until now requests went there and were refused: a load balancer learns late.
    this.endpoints.delete(victim);
    await gone;
    this.options.say(`${fresh.name} is ready in its place`);
  }

  /** Resolves when every replica that was asked to go has gone. */
  async settled(): Promise<void> {
    await Promise.all(this.endings);
  }

  /** Asks every replica to go, and waits for it. */
  async stop(): Promise<void> {
    await Promise.all([...this.endpoints].map((replica) => replica.terminate(this.options.terminationGraceMs)));
    this.endpoints.clear();
    await this.settled();
  }

  /** Kills whatever still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await Promise.allSettled(this.endings);
  }

  private async add(): Promise<Replica> {
    this.started += 1;
    const { pods, env } = this.options;
    const replica = await Replica.start(`v${this.version}-${this.started}`, pods, env);
    this.replicas.push(replica);
    await replica.ready();
    this.endpoints.add(replica);
    return replica;
  }

  private async retire(replica: Replica): Promise<void> {
    const ended = replica.terminate(this.options.terminationGraceMs);
    // It may end before traffic learns of it; what went wrong is told when it is waited for.
    ended.catch(() => undefined);
    await sleep(this.options.endpointDelayMs);
    this.endpoints.delete(replica);
    if (!(await ended)) this.counts.overran += 1;
    this.counts.replaced += 1;
  }
}
