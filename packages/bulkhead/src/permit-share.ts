/**
 * The permits that this process holds of those that all processes share: one lease with a count, renewed, raised and lowered by one
 * script, one request at a time, however many calls come and go meanwhile.
 *
 * What is given back is taken from the local limit before the request is sent, and what is granted is added when the answer is there, so
 * that no more calls run here than Redis knows of while the lease lasts (B7).
 */
import { isTransient, LeaseKeeper, now, RedisUnavailableError, withoutAmbientDeadline } from "@holdfast/core";
import type { Connection, LeaseEnd, RenewalOutcome, RenewedLease, WakeUpSubscription } from "@holdfast/core";
import { ExchangePace } from "./exchange-pace.ts";
import type { LocalCalls } from "./local-calls.ts";
import { PermitDemand } from "./permit-demand.ts";
import { PermitRequests } from "./permit-requests.ts";
import type { Granted, PermitRequestSettings } from "./permit-requests.ts";

/** How a share is kept. */
export interface PermitShareSettings extends PermitRequestSettings {
  readonly pollMs: number;
  /** Permits to use when Redis is out of reach: of the last known number of processes, undefined when there never was an answer. */
  readonly alone: (pods: number | undefined) => number;
}

const renewalsPerLease = 3;

/** This process' share. */
export class PermitShare {
  readonly #settings: PermitShareSettings;
  readonly #connection: Connection;
  readonly #requests: PermitRequests;
  readonly #calls: LocalCalls;
  readonly #keeper: LeaseKeeper<null>;
  readonly #demand: PermitDemand;
  readonly #pace: ExchangePace;
  #lease: RenewedLease<null> | undefined;
  #pods: number | undefined;
  /** Why the last request failed. */
  #failure: Error | undefined;
  #exchange: Promise<Granted> | undefined;
  #subscription: WakeUpSubscription | undefined;
  /** Another process has told that it waits. */
  #isAwaited = false;
  /** The last request has no answer, or none yet. */
  #isUnanswered = false;

  constructor(connection: Connection, calls: LocalCalls, settings: PermitShareSettings) {
    this.#connection = connection;
    this.#calls = calls;
    this.#settings = settings;
    this.#requests = new PermitRequests(connection, settings);
    this.#demand = new PermitDemand(settings.concurrencyMax);
    this.#pace = new ExchangePace({
      clock: connection.clock,
      random: settings.common.random,
      pollMs: settings.pollMs,
      exchange: () => this.#sync(),
      worthLooking: () => calls.waiting() > 0 || this.#demand.hasSurplus(calls.inUse()),
    });
    this.#keeper = new LeaseKeeper({
      clock: connection.clock,
      renew: () => this.#renewal(),
      onRenewalFailed: (_lease, error) => this.#failed(error),
      onEnd: (_lease, end) => this.#onLeaseEnd(end),
    });
  }

  /** The token of the lease on this process' permits, undefined while it has none. */
  get token(): number | undefined {
    return this.#lease?.token;
  }

  get pod(): string {
    return this.#requests.pod;
  }

  get resource(): string {
    return this.#requests.key.resource;
  }

  /** Permits held by a lease that lasts. */
  get held(): number {
    return this.#lease === undefined ? 0 : this.#demand.held;
  }

  /** Live processes at the last answer. */
  get pods(): number | undefined {
    return this.#pods;
  }

  /** Permits that there may be once Redis has answered; while it does not answer, none come. */
  get prospect(): number {
    return this.#pace.failures > 0 ? 0 : this.#demand.prospect;
  }

  /** Ends the lease when its time is over: a process that stood still may come to a call before it comes to its timers. */
  check(): void {
    if (this.#lease?.remainingMs() === 0) this.#lease.end("expired");
  }

  /** A call found no permit: asks for more, together with all others of this turn. */
  demand(): void {
    this.#listen();
    this.#demand.note(this.#calls.inUse() + this.#calls.waiting() + 1);
    if (this.#lease === undefined || this.#demand.mayGrow) this.#pace.soon();
  }

  /** A call has begun. */
  began(): void {
    this.#demand.began(this.#calls.inUse());
  }

  /** A permit came back: gives it to another process when this one has more than its share. */
  returned(): void {
    if (this.#lease !== undefined && this.#demand.hasSurplus(this.#calls.inUse())) this.#pace.soon();
  }

  /** Gives back everything but what calls still use: those permits are free when the lease ends, as if the process had died. */
  async close(): Promise<void> {
    this.#pace.close();
    this.#subscription?.close();
    let token = this.#lease?.token;
    this.#lease = undefined;
    this.#keeper.close();
    try {
      // What is on its way may bring a lease, and must not be carried out after the leaving.
      if (this.#exchange !== undefined) ({ token } = await this.#exchange);
      if (token !== undefined) await this.#leave(token);
    } catch {
      // Unanswered, the lease ends by itself.
    }
  }

  async #leave(token: number): Promise<void> {
    const used = this.#calls.inUse();
    if (used > 0) await this.#requests.sync({ keep: used, used, wanted: used });
    else await this.#requests.leave(token);
  }

  #listen(): void {
    this.#subscription ??= withoutAmbientDeadline(() =>
      this.#connection.wakeUps.listen(this.#requests.key.key, (hint) => this.#onHint(hint)),
    );
  }

  /** "give": somebody waits for his share. "take": something came free. Null: anything may have happened. */
  #onHint(hint: string | null): void {
    const [word, from] = hint?.split(" ") ?? ["take"];
    if (from === this.pod) return;
    // Processes that lack permits themselves have nothing to give; they would only wake each other.
    const { held, hasItsShare } = this.#demand;
    if (word === "give" && held > 0 && hasItsShare) {
      this.#isAwaited = true;
      this.#pace.soon();
    } else if (word !== "give" && this.#calls.waiting() > 0) {
      this.#pace.soon();
    }
  }

  async #sync(): Promise<void> {
    try {
      while (this.#exchange !== undefined) await this.#exchange.catch(() => undefined);
      if (this.#pace.closed) return;
      if (this.#lease === undefined) {
        const sentAt = now(this.#connection.clock);
        const reply = await this.#exchanged();
        if (this.#lease === undefined && !this.#pace.closed) this.#join(reply, sentAt);
      } else {
        await this.#lease.renew();
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #renewal(): Promise<RenewalOutcome> {
    // Redis may have counted from long before: what is on its way renews nothing that begins now.
    while (this.#exchange !== undefined) await this.#exchange.catch(() => undefined);
    const before = this.#lease?.token;
    if (before === undefined) return "lost";
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

  /** One request at a time. */
  #exchanged(): Promise<Granted> {
    this.#pace.began();
    const exchange = this.#send().finally(() => {
      this.#exchange = undefined;
      this.#pace.ended();
    });
    this.#exchange = exchange;
    return exchange;
  }

  async #send(): Promise<Granted> {
    const used = this.#calls.inUse();
    this.#demand.note(used + this.#calls.waiting());
    const asked = this.#demand.next(used, this.#isAwaited);
    this.#isAwaited = false;
    // Where Redis does not answer nobody gets what is given back, and this process would have no more than it used at the last attempt.
    const request = this.#isUnanswered ? { ...asked, keep: Math.max(used, this.#demand.held) } : asked;
    this.#isUnanswered = true;
    // No call may take what is being given back.
    if (this.#lease !== undefined && this.#demand.giveBack(request.keep)) {
      this.#calls.allow(request.keep, "permits go to other processes");
    }
    const reply = await this.#requests.sync(request);
    this.#answered(reply);
    return reply;
  }

  #answered(reply: Granted): void {
    this.#isUnanswered = false;
    this.#pods = reply.pods;
    this.#demand.sharing(reply.share);
    if (this.#lease?.token === reply.token) this.#apply(reply);
    this.#pace.answered();
  }

  #apply(reply: Granted): void {
    this.#demand.granted(reply.held);
    this.#calls.reached();
    this.#calls.allow(this.#demand.usable, "permits were granted");
    if (this.#hasNews(reply.held)) this.#pace.soon();
  }

  /** While the request was under way it has begun more than it had told, or got back what is others' by now, or wants more. */
  #hasNews(held: number): boolean {
    const used = this.#calls.inUse();
    return used > held || this.#demand.hasSurplus(used) || (this.#calls.waiting() > 0 && this.#demand.mayGrow);
  }

  #failed(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    if (this.#lease === undefined) this.#goAlone(this.#failure);
    this.#pace.failed();
  }

  #onLeaseEnd(end: LeaseEnd): void {
    this.#lease = undefined;
    this.#demand.lost();
    if (this.#pace.closed || end === "closed") return;
    this.#calls.allow(0, "the lease on the permits has ended");
    if (this.#pace.failures > 0 && this.#failure !== undefined && !isTransient(this.#failure)) {
      this.#goAlone(this.#failure);
    } else if (this.#pace.failures > 0) {
      const operation = `bulkhead ${this.#settings.name}`;
      this.#goAlone(new RedisUnavailableError(operation, "UNREACHABLE", "check the address and the network"));
    }
    this.#pace.soon();
  }

  /** Redis is out of reach; or it has answered with a refusal, and whoever went on then would be one more than it knows of (B7). */
  #goAlone(error: Error): void {
    if (this.#pace.closed) return;
    const refused = !isTransient(error);
    if (refused) this.#calls.allow(0, "Redis refuses");
    else this.#calls.allow(this.#settings.alone(this.#pods), "Redis is unreachable");
    this.#calls.unreachable(error, refused);
  }
}
