/**
 * The permits that this process holds of those that all processes share: one lease with a count, renewed, raised and lowered by one
 * script, one request at a time, however many calls come and go meanwhile.
 *
 * What is given back is taken from the local limit before the request is sent, and what is granted is added when the answer is there, so
 * that no more calls run here than Redis knows of while the lease lasts (B7).
 */
import {
  backoffMs,
  LeaseKeeper,
  now,
  RedisUnavailableError,
  resolveBackoff,
  withoutAmbientDeadline,
} from "@holdfast/core";
import type {
  Backoff,
  Connection,
  LeaseEnd,
  RenewalOutcome,
  RenewedLease,
  ResolvedCommonOptions,
  TimerHandle,
  WakeUpSubscription,
} from "@holdfast/core";
import { podsKey } from "./keys.ts";
import type { SharedKey } from "./keys.ts";
import { leaveScript, syncScript } from "./scripts.ts";
import type { SyncReply } from "./scripts.ts";

/** The calls of this process, as its share sees them. */
export interface LocalCalls {
  /** Permits in use. */
  inUse(): number;
  waiting(): number;
  /** Sets the limit. */
  allow(permits: number, because: string): void;
  /** Redis does not answer and the lease is over: nothing can be granted. */
  unreachable(error: Error): void;
  reached(): void;
}

/** How a share is kept. */
export interface PermitShareSettings {
  readonly name: string;
  readonly concurrencyMax: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly podsMax: number;
  /** Permits to use when Redis is out of reach: of the last known number of processes, undefined when there never was an answer. */
  readonly alone: (pods: number | undefined) => number;
  readonly common: ResolvedCommonOptions<never>;
}

type Granted = Extract<SyncReply, { kind: "granted" }>;

const retentionMs = 86_400_000;
const renewalsPerLease = 3;

/** This process' share. */
export class PermitShare {
  readonly pod: string;
  readonly #settings: PermitShareSettings;
  readonly #connection: Connection;
  readonly #key: SharedKey;
  readonly #calls: LocalCalls;
  readonly #keeper: LeaseKeeper<null>;
  readonly #backoff: Backoff;
  #lease: RenewedLease<null> | undefined;
  #held = 0;
  #share = 0;
  #pods: number | undefined;
  #sequence = 0;
  /** The most that was in use or wanted since the last request. */
  #peak = 0;
  /** What it said that it wanted. */
  #asked = 0;
  #exchange: Promise<Granted> | undefined;
  #scheduled = false;
  #again = false;
  #failures = 0;
  #poll: TimerHandle | undefined;
  #subscription: WakeUpSubscription | undefined;
  #closed = false;

  constructor(connection: Connection, calls: LocalCalls, settings: PermitShareSettings) {
    this.#connection = connection;
    this.#calls = calls;
    this.#settings = settings;
    this.#key = podsKey(settings.common.prefix, settings.name);
    this.pod = settings.common.random.id();
    this.#backoff = resolveBackoff({ baseMs: 50, delayMaxMs: 1_000 });
    this.#keeper = new LeaseKeeper({
      clock: connection.clock,
      batchMax: 1,
      renew: async () => [await this.#renewal()],
      onRenewalFailed: (_lease, error) => this.#failed(error),
      onEnd: (_lease, end) => this.#onLeaseEnd(end),
    });
  }

  /** The token of the lease on this process' permits, undefined while it has none. */
  get token(): number | undefined {
    return this.#lease?.token;
  }

  get resource(): string {
    return this.#key.resource;
  }

  /** Permits held by a lease that lasts. */
  get held(): number {
    return this.#lease === undefined ? 0 : this.#held;
  }

  /** Live processes at the last answer. */
  get pods(): number | undefined {
    return this.#pods;
  }

  /** A call found no permit: asks for more, together with all others of this turn. */
  demand(): void {
    this.#listen();
    this.#peak = Math.max(this.#peak, this.#calls.inUse() + this.#calls.waiting() + 1);
    // Having got all it asked for, it may ask for more. Otherwise the others have the rest: hints and the poll tell when that changes.
    const mayGrow =
      this.#share >= this.#asked && this.#peak > this.#asked && this.#asked < this.#settings.concurrencyMax;
    if (this.#lease === undefined || mayGrow) this.#soon();
  }

  /** A permit came back: gives it to another process when this one has more than its share. */
  returned(): void {
    if (this.#lease !== undefined && this.#held > this.#share && this.#held > this.#calls.inUse()) this.#soon();
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#subscription?.close();
    if (this.#poll !== undefined) this.#connection.clock.clearTimer(this.#poll);
    const lease = this.#lease;
    this.#lease = undefined;
    this.#keeper.close();
    if (lease === undefined) return;
    const args = { pod: this.pod, token: lease.token, publish: this.#connection.publishCommand };
    // Unanswered, the lease ends by itself.
    await this.#connection.run(leaveScript, { pods: this.#key.key }, args, this.#call("leave")).catch(() => undefined);
  }

  #listen(): void {
    this.#subscription ??= withoutAmbientDeadline(() =>
      this.#connection.wakeUps.listen(this.#key.key, (hint) => this.#onHint(hint)),
    );
  }

  /** "give": somebody waits for his share. "take": something came free. Null: anything may have happened. */
  #onHint(hint: string | null): void {
    const [word, from] = hint?.split(" ") ?? ["take"];
    if (from === this.pod) return;
    // Processes that lack permits themselves have nothing to give; they would only wake each other.
    if (word === "give" ? this.#held > 0 && this.#held >= this.#share : this.#calls.waiting() > 0) this.#soon();
  }

  #notePeak(): void {
    this.#peak = Math.max(this.#peak, this.#calls.inUse() + this.#calls.waiting());
  }

  /** One request at a time, at most one per turn of the event loop. */
  #soon(): void {
    if (this.#closed) return;
    if (this.#exchange !== undefined) {
      this.#again = true;
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    withoutAmbientDeadline(() =>
      process.nextTick(() => {
        this.#scheduled = false;
        if (!this.#closed) void this.#sync();
      }),
    );
  }

  async #sync(): Promise<void> {
    const sentAt = now(this.#connection.clock);
    try {
      if (this.#lease === undefined) {
        const reply = await this.#exchanged();
        if (this.#lease === undefined && !this.#closed) this.#join(reply, sentAt);
      } else {
        await this.#lease.renew();
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #renewal(): Promise<RenewalOutcome> {
    const before = this.#lease?.token;
    const reply = await this.#exchanged();
    return reply.token === before ? "renewed" : "lost";
  }

  #join(reply: Granted, sentAt: ReturnType<typeof now>): void {
    const { leaseMs } = this.#settings;
    this.#lease = this.#keeper.keep({
      resource: this.resource,
      token: reply.token,
      data: null,
      leaseMs,
      sentAt,
      renewEveryMs: Math.floor(leaseMs / renewalsPerLease),
      endError: (end) => new Error(`the lease on permits of ${this.resource} has ended: ${end}`),
    });
    this.#apply(reply);
  }

  /** Sends one request; a second caller waits for the answer of the first. */
  #exchanged(): Promise<Granted> {
    this.#exchange ??= this.#send().finally(() => {
      this.#exchange = undefined;
      if (this.#again) {
        this.#again = false;
        this.#soon();
      }
    });
    return this.#exchange;
  }

  async #send(): Promise<Granted> {
    const { leaseMs, concurrencyMax, podsMax } = this.#settings;
    this.#notePeak();
    const used = this.#calls.inUse();
    const wanted = Math.min(this.#peak, concurrencyMax);
    this.#peak = 0;
    this.#asked = wanted;
    const keep = Math.max(used, Math.min(this.#held, wanted, Math.max(this.#share, used)));
    if (this.#lease !== undefined && keep < this.#held) {
      // No call may take what is being given back.
      this.#held = keep;
      this.#calls.allow(keep, "permits go to other processes");
    }
    this.#sequence += 1;
    const args = {
      pod: this.pod,
      sequence: this.#sequence,
      leaseUs: leaseMs * 1_000,
      limit: concurrencyMax,
      keep,
      used,
      wanted,
      podsMax,
      retentionMs,
      publish: this.#connection.publishCommand,
    };
    const reply = await this.#connection.run(syncScript, { pods: this.#key.key }, args, this.#call("sync"));
    if (reply.kind === "stale")
      throw new RedisUnavailableError(`bulkhead.sync ${this.#settings.name}`, "STALE", "a younger request overtook it");
    this.#answered(reply);
    return reply;
  }

  #answered(reply: Granted): void {
    this.#failures = 0;
    this.#pods = reply.pods;
    this.#share = reply.share;
    if (this.#lease?.token === reply.token) this.#apply(reply);
    this.#armPoll();
  }

  #apply(reply: Granted): void {
    this.#held = reply.held;
    this.#calls.reached();
    // Others want more than there is: what is above the own share is not used again as its calls end, and goes back.
    const contended = reply.share < this.#asked;
    this.#calls.allow(contended ? Math.min(reply.held, reply.share) : reply.held, "permits were granted");
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    if (this.#lease === undefined) this.#goAlone(error instanceof Error ? error : new Error(String(error)));
    this.#armPoll();
  }

  #onLeaseEnd(end: LeaseEnd): void {
    this.#lease = undefined;
    this.#held = 0;
    if (this.#closed || end === "closed") return;
    this.#calls.allow(0, "the lease on the permits has ended");
    if (this.#failures > 0)
      this.#goAlone(
        new RedisUnavailableError(
          `bulkhead ${this.#settings.name}`,
          "UNREACHABLE",
          "check the address and the network",
        ),
      );
    this.#soon();
  }

  #goAlone(error: Error): void {
    if (this.#closed) return;
    const permits = this.#settings.alone(this.#pods);
    this.#calls.allow(permits, "Redis is unreachable");
    this.#calls.unreachable(error);
  }

  /** Looks again by itself while calls wait or Redis is out of reach, since hints may be lost. */
  #armPoll(): void {
    const { clock } = this.#connection;
    if (this.#poll !== undefined) clock.clearTimer(this.#poll);
    this.#poll = undefined;
    if (this.#closed) return;
    const { pollMs, common } = this.#settings;
    const delayMs = this.#failures === 0 ? pollMs : backoffMs(this.#backoff, this.#failures, common.random);
    this.#poll = withoutAmbientDeadline(() =>
      clock.setTimer(
        () => {
          this.#poll = undefined;
          if (
            this.#calls.waiting() > 0 ||
            this.#failures > 0 ||
            this.#held > Math.max(this.#share, this.#calls.inUse())
          )
            this.#soon();
          else this.#armPoll();
        },
        delayMs,
        true,
      ),
    );
  }

  #call(action: string): { readonly operation: string; readonly timeoutMs: number; readonly operationId: string } {
    return {
      operation: `bulkhead.${action} ${this.#settings.name}`,
      timeoutMs: this.#settings.common.commandTimeoutMs,
      operationId: `${this.pod}:${this.#sequence}`,
    };
  }
}
