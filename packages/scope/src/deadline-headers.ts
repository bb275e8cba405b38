/**
 * Deadlines across processes: relative milliseconds, since no two machines agree on the time. The receiver counts from the arrival on its
 * own monotonic clock; what the network took is on top, so a sender that knows its network takes that off.
 */
import {
  ambientRemainingMs,
  callback,
  integerOr,
  optionsObject,
  systemClock,
  withAmbientDeadline,
} from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { ScopeTimeoutError } from "./errors.ts";

/** The header this package sends: whole milliseconds that the caller still waits. */
const ownHeader = "x-holdfast-timeout-ms";
const envoyHeader = "x-envoy-expected-rq-timeout-ms";
const grpcHeader = "grpc-timeout";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Headers of a request: web-standard `Headers`, or an object as Node's http module makes it. */
export type IncomingHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** Options of `withDeadlineFrom`. */
export interface DeadlineFromOptions {
  /** A longer or missing deadline becomes this one, in milliseconds. Default: none is made up, and none is longer than a day. */
  readonly timeoutMaxMs?: number | undefined;
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
}

const dayMs = 86_400_000;

/**
 * Headers that tell a callee how long its caller waits; none when no deadline is in force.
 * @param allowanceMs milliseconds taken off for the network, 0 or more. Default 0
 * @throws RangeError
 */
export function deadlineHeaders(allowanceMs = 0): Record<string, string> {
  if (!(allowanceMs >= 0)) throw new RangeError(`allowanceMs must be 0 or more, got ${String(allowanceMs)}`);
  const leftMs = ambientRemainingMs();
  return leftMs === Infinity ? {} : { [ownHeader]: String(Math.max(0, Math.floor(leftMs - allowanceMs))) };
}

function valueOf(headers: IncomingHeaders, name: string): string | undefined {
  if (typeof headers.get === "function") return headers.get(name) ?? undefined;
  const value = (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name];
  return typeof value === "object" ? value[0] : value;
}

function milliseconds(value: string | undefined): number {
  return value !== undefined && /^\d{1,12}$/u.test(value) ? Number(value) : Infinity;
}

/** At most 8 digits and a unit, as the gRPC protocol has it. */
function grpcMilliseconds(value: string | undefined): number {
  const match = /^(\d{1,8})([HMSmun])$/u.exec(value ?? "");
  return match === null ? Infinity : Number(match[1]) * (unitMs[match[2] as string] as number);
}

/** Milliseconds that the headers leave: the least of those present and well-formed, Infinity for none. */
function timeoutMsOf(headers: IncomingHeaders): number {
  return Math.min(
    milliseconds(valueOf(headers, ownHeader)),
    milliseconds(valueOf(headers, envoyHeader)),
    grpcMilliseconds(valueOf(headers, grpcHeader)),
  );
}

/**
 * Runs a function under the deadline that a request's headers carry. Malformed headers count as absent.
 * @throws ScopeTimeoutError without calling the function when no time is left
 */
export function withDeadlineFrom<Value>(headers: IncomingHeaders, fn: () => Value): Value;
export function withDeadlineFrom<Value>(
  headers: IncomingHeaders,
  options: DeadlineFromOptions | undefined,
  fn: () => Value,
): Value;
export function withDeadlineFrom<Value>(
  headers: IncomingHeaders,
  second: DeadlineFromOptions | undefined | (() => Value),
  third?: () => Value,
): Value {
  const fn = typeof second === "function" ? second : third;
  const options = second === undefined || typeof second === "function" ? {} : second;
  optionsObject("options", options);
  callback("fn", fn);
  const givenMs = timeoutMsOf(headers);
  const timeoutMaxMs =
    options.timeoutMaxMs === undefined
      ? Infinity
      : integerOr(dayMs, "timeoutMaxMs", options.timeoutMaxMs, { min: 1, max: dayMs });
  const timeoutMs = Math.min(givenMs, timeoutMaxMs);
  if (timeoutMs <= 0) throw new ScopeTimeoutError("request", 0, 0, "none");
  if (timeoutMs === Infinity) return (fn as () => Value)();
  return withAmbientDeadline(Math.min(timeoutMs, dayMs), fn as () => Value, options.clock ?? systemClock);
}
