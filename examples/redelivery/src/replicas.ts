/**
 * Owns the replicas: a rolling restart in which every replica is replaced, some in peace and some with no warning. Those that are killed
 * die while the provider has booked charges of theirs that they have not heard of; nothing in the program is arranged for it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, type StagePods } from "@holdfast-examples/stage";
import type { Pod } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { GROUP, streamKey, type BillingOptions } from "./billing.ts";
import type { BillingSettings } from "./billing-pod.ts";
import type { PaymentProvider } from "./payment-provider.ts";

/** What happened to the replicas. */
export interface ReplicaCounts {
  /** Got SIGTERM and went by themselves. */
  finished: number;
  /** Got SIGKILL, with no warning or at the end of their grace period. */
  killed: number;
}

/** What all replicas of a run have in common. */
export interface ReplicaOptions {
  readonly settings: Omit<BillingSettings, keyof Pick<BillingOptions, "name">>;
  readonly pods: StagePods;
  readonly graceMs: number;
  readonly redis: Redis;
  readonly provider: PaymentProvider;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

const PROGRAM = new URL("./billing-pod.ts", import.meta.url);
/** Charges that the provider has booked and the replica has not heard of, when it is killed. */
const UNANSWERED_MIN = 2;
const MOMENT_MAX_MS = 60_000;
/** Between two replacements. */
const CALM_MS = 200;

/** The replicas of one run. */
export class Replicas {
  readonly counts: ReplicaCounts = { finished: 0, killed: 0 };
  private readonly options: ReplicaOptions;
  private readonly pods = new Map<string, Pod>();
  private readonly deliveries = new Map<string, number>();
  private started = 0;

  constructor(options: ReplicaOptions) {
    this.options = options;
  }

  /** The replicas that run. */
  names(): readonly string[] {
    return [...this.pods.keys()];
  }

  /** Deliveries of messages that had been delivered before. */
  deliveredAgain(): number {
    return [...this.deliveries.values()].reduce((sum, times) => sum + times - 1, 0);
  }

  /** Resolves when so many more are ready. */
  async add(count: number, version: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.addOne(version)));
  }

  /** Replaces every replica: the first one in peace, the others are killed. */
  async roll(version: number): Promise<void> {
    const { signal } = this.options;
    for (const [index, old] of this.names().entries()) {
      const fresh = await this.addOne(version);
      await (index === 0 ? this.finish(old, fresh) : this.kill(old, fresh));
      await sleep(CALM_MS, undefined, { signal });
    }
  }

  /** SIGTERM for all of them. */
  async stop(): Promise<void> {
    await Promise.all(this.names().map((name) => this.finish(name)));
  }

  private async addOne(version: number): Promise<string> {
    const { settings, pods } = this.options;
    this.started += 1;
    const name = `v${version}-${this.started}`;
    const own: BillingSettings = { ...settings, name };
    const pod = await pods.start(PROGRAM, { BILLING: JSON.stringify(own) });
    this.pods.set(name, pod);
    void this.listen(pod);
    await pod.ready(STARTS_WITHIN);
    return name;
  }

  private async listen(pod: Pod): Promise<void> {
    for await (const messageId of pod) {
      const id = String(messageId);
      this.deliveries.set(id, (this.deliveries.get(id) ?? 0) + 1);
    }
  }

  private async finish(name: string, fresh?: string): Promise<void> {
    const { graceMs, say } = this.options;
    const pod = this.podOf(name);
    if (fresh !== undefined) say(`${fresh} is ready, ${name} gets SIGTERM and finishes its charges`);
    const { graceful, code } = await pod.term(graceMs);
    if (graceful && code !== 0) throw new Error(`${name} ended with status ${code}:\n${pod.output}`);
    if (graceful) this.counts.finished += 1;
    else await this.buried(name);
    this.pods.delete(name);
  }

  private async kill(name: string, fresh: string): Promise<void> {
    const { provider, say, signal } = this.options;
    const pod = this.podOf(name);
    const moment = AbortSignal.any([signal, AbortSignal.timeout(MOMENT_MAX_MS)]);
    await provider.whileUnanswered(name, UNANSWERED_MIN, moment);
    await pod.kill();
    const left = await this.buried(name);
    this.pods.delete(name);
    say(`${fresh} is ready, ${name} gets SIGKILL in the middle of ${left} charges: their messages will come again`);
  }

  /** Resolves to the number of messages that a dead replica has left behind: nobody takes them over before they have lain idle. */
  private async buried(name: string): Promise<number> {
    const { redis, settings } = this.options;
    const pending = await redis.xpending(streamKey(settings.prefix), GROUP, "-", "+", 1_000, name);
    this.counts.killed += 1;
    return pending.length;
  }

  private podOf(name: string): Pod {
    const pod = this.pods.get(name);
    if (pod === undefined) throw new Error(`There is no replica ${name}.`);
    return pod;
  }
}
