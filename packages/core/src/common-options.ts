/** Options that every primitive takes, with the same defaults everywhere. */
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { Durability } from "./durable-wire.ts";
import { checkPrefix } from "./keys.ts";
import { systemRandom } from "./random.ts";
import type { Random } from "./random.ts";
import { callback, integer, integerOr, optionsObject } from "./validate.ts";

/** Options that every primitive takes. */
export interface CommonOptions<Event> {
  /** First part of every key; 1 to 256 bytes without braces. Default `"holdfast"`. */
  readonly prefix?: string | undefined;
  /** Longest wait for one answer of Redis in milliseconds, 10 to 600,000. Default 2,000. */
  readonly commandTimeoutMs?: number | undefined;
  /** Replicas that must confirm each write, and how long to wait for them. Default none. */
  readonly durability?: Durability | undefined;
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
  /** Ids and jitter. Default the system's. */
  readonly random?: Random | undefined;
  /** Called with each event of this instance. */
  readonly onEvent?: ((event: Event) => void) | undefined;
}

/** Common options, complete and checked. */
export interface ResolvedCommonOptions<Event> {
  readonly prefix: string;
  readonly commandTimeoutMs: number;
  readonly durability: Durability | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: ((event: Event) => void) | undefined;
}

const timeoutRangeMs = { min: 10, max: 600_000 };

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveCommonOptions<Event>(options: CommonOptions<Event>): ResolvedCommonOptions<Event> {
  optionsObject("options", options);
  const { durability, onEvent, clock = systemClock, random = systemRandom } = options;
  if (onEvent !== undefined) callback("onEvent", onEvent);
  optionsObject("clock", clock);
  for (const part of ["monotonicMs", "wallMs", "setTimer", "clearTimer"] as const)
    callback(`clock.${part}`, clock[part]);
  optionsObject("random", random);
  for (const part of ["id", "unit"] as const) callback(`random.${part}`, random[part]);
  if (durability !== undefined) {
    optionsObject("durability", durability);
    integer("durability.replicas", durability.replicas, { min: 1, max: 100 });
    integer("durability.timeoutMs", durability.timeoutMs, timeoutRangeMs);
  }
  return {
    prefix: checkPrefix(options.prefix === undefined ? "holdfast" : options.prefix),
    commandTimeoutMs: integerOr(2_000, "commandTimeoutMs", options.commandTimeoutMs, timeoutRangeMs),
    durability: durability && { replicas: durability.replicas, timeoutMs: durability.timeoutMs },
    clock,
    random,
    onEvent,
  };
}
