/** Options of an instance and of a call: checked, complete, readonly. */
import {
  callback,
  integer,
  integerOr,
  leaseRangeMs,
  oneOf,
  optionsObject,
  resolveCommonOptions,
  signal,
  text,
} from "@holdfast/core";
import type { CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import { jsonCodec } from "./codec.ts";
import type { Codec } from "./codec.ts";
import type { IdempotencyEvent } from "./events.ts";
import { decideByError } from "./failure.ts";
import type { OnError } from "./failure.ts";
import { failureCodecId } from "./stored-error.ts";

/** Options of an {@link Idempotency}. */
export interface IdempotencyOptions extends CommonOptions<IdempotencyEvent> {
  /**
   * How long an outcome is kept and a key remembered, in milliseconds, 1,000 to 366 days. Default one day. Never
   * less than `commandTimeoutMs`: a request that arrives late must find what it would repeat.
   */
  readonly retentionMs?: number | undefined;
  /** How long a dead attempt blocks its key at most, in milliseconds. A live one renews. Default 30,000. */
  readonly leaseMs?: number | undefined;
  /** How long an attempt may run at most, however often it is renewed, in milliseconds, up to 366 days. Default one day. */
  readonly attemptMaxMs?: number | undefined;
  /** How long a duplicate waits for the running attempt, in milliseconds, up to 600,000. Default 0: it is told at once. */
  readonly waitMs?: number | undefined;
  /** Decides on an error of the handler. Default: see `decideByError`. */
  readonly onError?: OnError | undefined;
  /**
   * What becomes of a key whose attempt died or whose outcome is unknown: `"recover"` (default) lets the next call try again after the
   * lease, `"hold"` keeps it closed, without a time limit, until `resolve` or `forget`.
   */
  readonly onUnknown?: "recover" | "hold" | undefined;
  /** When Redis cannot be reached: `"closed"` (default) throws, `"open"` runs the handler without any protection. */
  readonly whenUnreachable?: "closed" | "open" | undefined;
  /** How results become bytes. Default {@link jsonCodec}. */
  readonly codec?: Codec | undefined;
  /** Codecs of earlier versions of the service, whose results can still be read. */
  readonly formerCodecs?: readonly Codec[] | undefined;
  /** Longest stored result in bytes, 1,024 to 268,435,456. Default 1,048,576. */
  readonly resultBytesMax?: number | undefined;
}

/** Options of one run. */
export interface RunOptions {
  /** The payload: another one under the same key is refused. JSON values, text or bytes. `undefined` compares nothing. */
  readonly fingerprint?: unknown;
  /** Overrides the instance's. */
  readonly waitMs?: number | undefined;
  /** Overrides the instance's. */
  readonly codec?: Codec | undefined;
  /** Cancels the waiting. Work that runs has a signal of its own. */
  readonly signal?: AbortSignal | undefined;
}

/** Complete options of an instance. */
export interface ResolvedIdempotencyOptions extends ResolvedCommonOptions<IdempotencyEvent> {
  readonly retentionMs: number;
  readonly leaseMs: number;
  readonly attemptMaxMs: number;
  readonly waitMs: number;
  readonly onError: OnError;
  readonly onUnknown: "recover" | "hold";
  readonly whenUnreachable: "closed" | "open";
  readonly codec: Codec;
  readonly formerCodecs: readonly Codec[];
  readonly resultBytesMax: number;
}

/** Complete options of a run. */
export interface ResolvedRunOptions {
  readonly fingerprint: unknown;
  readonly waitMs: number;
  readonly codec: Codec;
  readonly signal: AbortSignal | undefined;
}

const dayMs = 86_400_000;
const longestMs = 366 * dayMs;
const waitRangeMs = { min: 0, max: 600_000 };

function checkCodec(field: string, codec: Codec): Codec {
  optionsObject(field, codec);
  if (text(`${field}.id`, codec.id, 64) === failureCodecId) {
    throw new RangeError(`${field}.id must not be ${JSON.stringify(failureCodecId)}, which names stored failures`);
  }
  const { encode, decode } = codec as { readonly encode: unknown; readonly decode: unknown };
  callback(`${field}.encode`, encode);
  callback(`${field}.decode`, decode);
  return codec;
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveIdempotencyOptions(options: IdempotencyOptions): ResolvedIdempotencyOptions {
  const common = resolveCommonOptions(options);
  if (options.onError !== undefined) callback("onError", options.onError);
  const retentionMs = integerOr(dayMs, "retentionMs", options.retentionMs, { min: 1_000, max: longestMs });
  return {
    ...common,
    // A request can arrive as late as its bound: what it would repeat must still be known (K1).
    retentionMs: Math.max(retentionMs, common.commandTimeoutMs),
    leaseMs: integerOr(30_000, "leaseMs", options.leaseMs, leaseRangeMs),
    attemptMaxMs: integerOr(dayMs, "attemptMaxMs", options.attemptMaxMs, { min: leaseRangeMs.min, max: longestMs }),
    waitMs: integerOr(0, "waitMs", options.waitMs, waitRangeMs),
    onError: options.onError ?? decideByError,
    onUnknown: oneOf("onUnknown", options.onUnknown ?? "recover", ["recover", "hold"]),
    whenUnreachable: oneOf("whenUnreachable", options.whenUnreachable ?? "closed", ["closed", "open"]),
    codec: checkCodec("codec", options.codec ?? jsonCodec),
    formerCodecs: (options.formerCodecs ?? []).map((codec, index) => checkCodec(`formerCodecs[${index}]`, codec)),
    resultBytesMax: integerOr(1_048_576, "resultBytesMax", options.resultBytesMax, { min: 1_024, max: 268_435_456 }),
  };
}

/** @throws TypeError, RangeError naming the field */
export function resolveRunOptions(options: RunOptions, defaults: ResolvedIdempotencyOptions): ResolvedRunOptions {
  optionsObject("options", options);
  signal("signal", options.signal);
  return {
    fingerprint: options.fingerprint,
    waitMs: options.waitMs === undefined ? defaults.waitMs : integer("waitMs", options.waitMs, waitRangeMs),
    codec: options.codec === undefined ? defaults.codec : checkCodec("codec", options.codec),
    signal: options.signal,
  };
}
