/**
 * The guard of a service that owns a resource in its memory: lets a token through if no higher one has been there. What runs in between is
 * synchronous, so nothing comes between the check and the effect.
 *
 * It forgets with the process. Until it has seen a newer token it lets any through that is younger than `guardRetentionMs`; seed it with
 * `advance` from what the resource itself remembers. After a step of this machine's clock, forward and back, it is safe and not live: it refuses
 * what is older than a token that it forgot meanwhile, for resources that it does not remember.
 */
import { callback, integerOr, systemClock } from "@holdfast/core";
import type { Clock, Fenced } from "@holdfast/core";
import { checkFenced, resolveRetentionMs } from "./options.ts";
import { StaleTokenError } from "./stale-token-error.ts";

/** Options of a gate. */
export interface FenceGateOptions {
  /** How long tokens are remembered in milliseconds; older ones are refused. At least the lock's `holdMaxMs`. Default 86,400,000. */
  readonly guardRetentionMs?: number | undefined;
  /** How far this machine's clock may be ahead of the lock's server, in milliseconds; the age of a token is forgiven so much. Default 60,000. */
  readonly clockSkewMaxMs?: number | undefined;
  readonly clock?: Clock | undefined;
}

const hourMs = 3_600_000;

/** The highest tokens of any number of resources. */
export class FenceGate {
  readonly #guardRetentionMs: number;
  readonly #clockSkewMaxMs: number;
  readonly #clock: Clock;
  /** In the order of their last use, so that the oldest come first; what is ahead of the clock goes round. */
  readonly #highest = new Map<string, { token: number; keepUntilMs: number }>();
  /** The highest token that was forgotten. No clock that is stepped makes it, or a lower one, young again where nothing else is remembered. */
  #forgotten = 0;

  /** @throws TypeError, RangeError naming the field, the allowed range and the value got */
  constructor(options: FenceGateOptions = {}) {
    this.#guardRetentionMs = resolveRetentionMs(options.guardRetentionMs);
    this.#clockSkewMaxMs = integerOr(60_000, "clockSkewMaxMs", options.clockSkewMaxMs, { min: 0, max: hourMs });
    this.#clock = options.clock ?? systemClock;
  }

  /** Resources that are remembered. */
  get size(): number {
    return this.#highest.size;
  }

  /** The highest token that was let through, or null when none is remembered. */
  highest(resource: string): number | null {
    return this.#highest.get(resource)?.token ?? null;
  }

  /**
   * Runs a synchronous effect if the token is not stale.
   * @returns what the effect returns
   * @throws StaleTokenError: the effect did not run
   */
  run<Value>(fenced: Fenced, effect: () => Value extends PromiseLike<unknown> ? never : Value): Value {
    callback("effect", effect);
    this.advance(fenced);
    return effect();
  }

  /**
   * Lets the token through and refuses lower ones from now on.
   * @throws StaleTokenError
   */
  advance(fenced: Fenced): void {
    checkFenced(fenced, this.#guardRetentionMs);
    const { resource, token } = fenced;
    const nowMs = this.#clock.wallMs();
    const known = this.#highest.get(resource);
    if (known !== undefined && known.token > token)
      throw new StaleTokenError(resource, token, known.token, "superseded");
    const young = (nowMs - this.#guardRetentionMs - this.#clockSkewMaxMs) * 1_000;
    const oldest = known === undefined ? Math.max(young, this.#forgotten + 1) : young;
    if (token < oldest) throw new StaleTokenError(resource, token, oldest, "too-old");
    this.#highest.delete(resource);
    // Past this moment whatever it would refuse is refused for its age.
    const keepUntilMs = Math.max(token / 1_000, nowMs) + this.#guardRetentionMs + this.#clockSkewMaxMs;
    this.#highest.set(resource, { token, keepUntilMs });
    this.#forget(nowMs);
  }

  /**
   * Two at a time: faster than they come, and never a pause. A token that is still ahead of the clock goes to the back, or nothing behind it
   * would be forgotten until its time has passed.
   */
  #forget(nowMs: number): void {
    const longestMs = this.#guardRetentionMs + this.#clockSkewMaxMs;
    let looked = 0;
    for (const [resource, known] of this.#highest) {
      const ahead = known.keepUntilMs > nowMs + longestMs;
      if (looked === 2 || (known.keepUntilMs >= nowMs && !ahead)) return;
      looked += 1;
      this.#highest.delete(resource);
      if (ahead) this.#highest.set(resource, known);
      else this.#forgotten = Math.max(this.#forgotten, known.token);
    }
  }
}
