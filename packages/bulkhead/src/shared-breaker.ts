/**
 * A breaker's state in Redis, so that a process which starts learns that a dependency is down, and a hundred processes do not probe it at
 * once. The local breaker stays in charge of its own calls: without Redis it works as if it were alone.
 *
 * Told to Redis: that the local breaker has opened, and that the local probes have succeeded. Asked of Redis: whether this process may
 * probe. Heard from Redis, by hints and by a bounded poll: that others opened or closed.
 */
import {
  backoffMs,
  Connection,
  integerOr,
  resolveBackoff,
  resolveCommonOptions,
  withoutAmbientDeadline,
} from "@holdfast/core";
import type {
  Backoff,
  CommonOptions,
  RedisLike,
  ResolvedCommonOptions,
  TimerHandle,
  WakeUpSubscription,
} from "@holdfast/core";
import { breakerKey } from "./keys.ts";
import type { SharedKey } from "./keys.ts";
import { noDurability } from "./options.ts";
import { closeScript, lookScript, openScript, probeScript } from "./scripts.ts";
import type { BreakerReply } from "./scripts.ts";

/** Options of a shared breaker. */
export interface SharedBreakerOptions extends Omit<CommonOptions<never>, "durability" | "onEvent"> {
  /** How often it looks by itself, in milliseconds, 100 to 600,000. Default 2,000. */
  readonly pollMs?: number | undefined;
}

/** The breaker of one process, as its sharing needs it. */
export interface SharedSide {
  readonly openMs: number;
  /** Longest time that the probes of this process take. */
  readonly probeMs: number;
  /** Opens it for so long, since another process did. */
  openFromElsewhere(leftMs: number): void;
  /** Closes it, since another process did. */
  closeFromElsewhere(): void;
}

const retentionMs = 86_400_000;
const noToken = "0";

/** The state of one dependency's breaker, shared by all processes that name it. */
export class SharedBreaker implements AsyncDisposable {
  readonly name: string;
  readonly #connection: Connection;
  readonly #options: ResolvedCommonOptions<never>;
  readonly #pollMs: number;
  readonly #backoff: Backoff;
  readonly #key: SharedKey;
  #side: SharedSide | undefined;
  #subscription: WakeUpSubscription | undefined;
  #poll: TimerHandle | undefined;
  #token: string = noToken;
  #state: "open" | "closed" = "closed";
  #probe: "none" | "asking" | "granted" = "none";
  #probeOperation = "";
  #probeUntilMs = 0;
  /** Whether a call has gone as a probe by the right that was last asked for. */
  #probed = false;
  #askedOperation = "";
  #askAgainAtMs = 0;
  #failures = 0;
  #closed = false;
  #looking: Promise<void> | undefined;
  /** A hint came while an answer was under way, which may be older than what the hint is about. */
  #lookAgain = false;

  /** @throws TypeError, RangeError naming the field, the allowed range and the value got */
  constructor(redis: RedisLike, name: string, options: SharedBreakerOptions = {}) {
    this.#options = resolveCommonOptions<never>(options);
    noDurability(options);
    this.#pollMs = integerOr(2_000, "pollMs", options.pollMs, { min: 100, max: 600_000 });
    this.#backoff = resolveBackoff({ baseMs: 100, delayMaxMs: 1_000 });
    this.#key = breakerKey(this.#options.prefix, name);
    this.#connection = Connection.of(redis, this.#options.clock);
    this.name = name;
  }

  /** Resolves once the state is known, or Redis has not answered; never rejects. */
  ready(): Promise<void> {
    return this.look();
  }

  /** Called by the bulkhead that uses it. @throws TypeError when another one does already */
  attach(side: SharedSide): void {
    if (this.#side !== undefined) {
      throw new TypeError(`shared breaker ${this.name} serves a bulkhead already; make one for each bulkhead`);
    }
    this.#side = side;
    // It may have been asked whether it is ready before there was anybody to tell.
    const leftMs = this.#askAgainAtMs - this.#options.clock.monotonicMs();
    if (this.#state === "open") side.openFromElsewhere(Math.max(0, leftMs));
    withoutAmbientDeadline(() => {
      this.#subscription = this.#connection.wakeUps.listen(this.#key.key, () => this.#onHint());
      this.#armPoll();
      void this.look();
    });
  }

  /** The local breaker has opened on its own evidence. */
  opened(): void {
    if (this.#closed) return;
    const operation = this.#options.random.id();
    this.#probe = "none";
    // The opening ends the right to probe, also one whose answer is still on its way.
    this.#askedOperation = "";
    this.#background(async () => {
      const openUs = Math.round(this.#openMs() * 1_000);
      const args = { operation, seen: this.#token, openUs, retentionMs, publish: this.#connection.publishCommand };
      const reply = await this.#connection.run(openScript, this.#keys, args, this.#call("open", operation));
      if (reply.kind === "open") this.#knows(reply);
      else this.#take(reply);
    });
  }

  /** The local probes have succeeded. */
  closed(): void {
    if (this.#closed) return;
    const operation = this.#probeOperation;
    this.#probe = "none";
    this.#background(async () => {
      const args = { operation, token: this.#token, retentionMs, publish: this.#connection.publishCommand };
      this.#take(await this.#connection.run(closeScript, this.#keys, args, this.#call("close", operation)));
    });
  }

  /**
   * Whether this process may probe now. Asks when it is not known; without Redis every process decides for itself. A right that has ended
   * before there was a call to use it is used by the next one, which asks for it anew: where calls are further apart than the right lasts, each
   * would otherwise be refused for an answer that comes too late for the next (B4).
   */
  mayProbe(): boolean {
    if (this.#closed) return true;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#probe === "granted") {
      const unused = !this.#probed;
      this.#probed = true;
      if (nowMs < this.#probeUntilMs) return true;
      if (unused) {
        // The id that Redis knows: the right is the same, and what this probe finds out counts when it was not given away meanwhile.
        this.#probeOperation = this.#askedOperation;
        this.#askToProbe(nowMs, this.#askedOperation);
        this.#probe = "granted";
        return true;
      }
      this.#probe = "none";
    }
    if (this.#probe === "none" && nowMs >= this.#askAgainAtMs) {
      this.#probed = false;
      this.#askToProbe(nowMs, this.#options.random.id());
    }
    return false;
  }

  /** Reads the state. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= withoutAmbientDeadline(async () => {
      this.#lookAgain = false;
      try {
        this.#take(await this.#connection.run(lookScript, this.#keys, {}, this.#call("look")));
        this.#failures = 0;
      } catch {
        // Unreachable: the local breaker decides alone until the next look.
        this.#failures += 1;
      } finally {
        this.#looking = undefined;
        if (this.#lookAgain && !this.#closed) void this.look();
      }
    });
    return this.#looking;
  }

  /** Stops sharing; the local breaker goes on alone. */
  close(): Promise<void> {
    this.#closed = true;
    this.#subscription?.close();
    if (this.#poll !== undefined) this.#options.clock.clearTimer(this.#poll);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #keys(): { readonly state: string } {
    return { state: this.#key.key };
  }

  #call(action: string, operationId?: string): { operation: string; timeoutMs: number; operationId?: string } {
    const call = { operation: `breaker.${action} ${this.name}`, timeoutMs: this.#options.commandTimeoutMs };
    return operationId === undefined ? call : { ...call, operationId };
  }

  #openMs(): number {
    return this.#side?.openMs ?? 0;
  }

  #onHint(): void {
    this.#lookAgain = true;
    void this.look();
  }

  #askToProbe(nowMs: number, operation: string): void {
    this.#probe = "asking";
    this.#probeUntilMs = nowMs + this.#probeMs();
    this.#askedOperation = operation;
    this.#background(
      async () => {
        const probeUs = Math.round(this.#probeMs() * 1_000);
        const publish = this.#connection.publishCommand;
        const args = { operation, seen: this.#token, probeUs, retentionMs, publish };
        const reply = await this.#connection.run(probeScript, this.#keys, args, this.#call("probe", operation));
        const isAwaited = this.#askedOperation === operation;
        if (isAwaited) this.#probe = "none";
        // Refused, the right that it may have had before is still the one to close with.
        if (isAwaited && reply.kind === "granted") this.#probeOperation = operation;
        if (isAwaited || reply.kind !== "granted") this.#take(reply);
      },
      () => {
        if (this.#askedOperation !== operation) return;
        // Better all processes probe than none. Redis may have given it the right, and only the answer was lost.
        this.#probeOperation = operation;
        this.#probe = "granted";
        this.#probeUntilMs = this.#options.clock.monotonicMs() + this.#probeMs();
      },
    );
  }

  #probeMs(): number {
    return this.#side?.probeMs ?? 0;
  }

  #knows(reply: Exclude<BreakerReply, { readonly kind: "granted" }>): void {
    this.#token = reply.token;
    this.#state = reply.kind;
    if (reply.kind === "open") this.#askAgainAtMs = this.#options.clock.monotonicMs() + reply.leftMs;
  }

  /** Follows what Redis says. */
  #take(reply: BreakerReply): void {
    if (this.#closed) return;
    if (reply.kind === "granted") {
      this.#token = reply.token;
      this.#state = "open";
      this.#probe = "granted";
      return;
    }
    // Redis has lost what it told before. The token is kept, so that the next request of this process puts it right.
    if (reply.token < this.#token) return;
    const news = reply.token > this.#token || (reply.token === this.#token && reply.kind !== this.#state);
    this.#knows(reply);
    if (!news) return;
    this.#probe = "none";
    if (reply.kind === "closed") this.#side?.closeFromElsewhere();
    else this.#side?.openFromElsewhere(reply.leftMs);
  }

  #armPoll(): void {
    const delayMs =
      this.#failures === 0 ? this.#pollMs : backoffMs(this.#backoff, this.#failures, this.#options.random);
    this.#poll = this.#options.clock.setTimer(
      () => {
        void this.look().then(() => {
          if (!this.#closed) this.#armPoll();
        });
      },
      Math.min(delayMs, this.#pollMs),
      true,
    );
  }

  /** Runs a request whose failure leaves the local breaker on its own. */
  #background(request: () => Promise<void>, onFailure: () => void = () => undefined): void {
    withoutAmbientDeadline(() => void request().catch(onFailure));
  }
}
