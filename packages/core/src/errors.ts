/**
 * The base of every operating failure, and the failures that all primitives share. Misuse of the API is a TypeError or a RangeError and
 * not found here; expected refusals are values, not errors.
 */

/** Whether the call that failed could have had an effect on the server or the resource. */
export type Effect = "none" | "possible";

/** An operating failure: says what happened, to which resource, and what to do. */
export abstract class HoldfastError extends Error {
  abstract override readonly name: string;
  /** Stable, for programs: `LOCK_LOST`. */
  abstract readonly code: string;
  /** Could the call have had an effect? With `"none"` it is safe to do something else instead. */
  abstract readonly effect: Effect;
}

/**
 * The request was sent and its answer was lost. The call may have taken effect, or take effect until its bound in server time has
 * passed. Repeat it with `operationId` to learn the first answer, unless the message says how else.
 */
export class OutcomeUnknownError extends HoldfastError {
  override readonly name = "OutcomeUnknownError";
  readonly code = "OUTCOME_UNKNOWN";
  readonly effect = "possible";
  /** Names the call: hand it to the same call, or do with it what the message says, to learn what became of it. */
  readonly operationId: string;

  /** @param options `advice`: what to do, where another call than a repeat with `operationId` finds out */
  constructor(
    operation: string,
    operationId: string,
    options: ErrorOptions & { readonly why: string; readonly advice?: string | undefined },
  ) {
    const advice = options.advice ?? `repeat the call with operationId "${operationId}" to learn its outcome`;
    super(`${operation}: sent, but the answer was lost (${options.why}); ${advice}`, options);
    this.operationId = operationId;
  }
}

/** Redis could not be reached, or refused to work, before the request had an effect. */
export class RedisUnavailableError extends HoldfastError {
  override readonly name = "RedisUnavailableError";
  readonly code = "REDIS_UNAVAILABLE";
  readonly effect = "none";
  /** The server's error code (`OOM`, `READONLY`, `LOADING`, …), or `UNREACHABLE`. */
  readonly reason: string;

  constructor(operation: string, reason: string, advice: string, options?: ErrorOptions) {
    super(`${operation}: nothing was done, Redis is unavailable (${reason}): ${advice}`, options);
    this.reason = reason;
  }
}

/** The request reached the server after its bound in server time, and so did nothing. The process or the network was paused. */
export class TooLateError extends HoldfastError {
  override readonly name = "TooLateError";
  readonly code = "TOO_LATE";
  readonly effect = "none";

  /** @param timeoutMs what the caller waited for: `commandTimeoutMs`, or less under an ambient deadline */
  constructor(operation: string, timeoutMs: number) {
    super(
      `${operation}: nothing was done, since the request reached Redis more than ${Math.ceil(timeoutMs)} ms after it was made (commandTimeoutMs, or what an ambient deadline left); try again`,
    );
  }
}

/** Whether a request was sent and got no answer in time: by whichever of the two it is noticed, its bound in server time ends what is left of it. */
export function cameLate(error: unknown): error is OutcomeUnknownError | TooLateError {
  return error instanceof OutcomeUnknownError || error instanceof TooLateError;
}

/** Whether a request may be answered when it is made again, under the same operation id: there was no answer, as opposed to a bad one. */
export function isTransient(error: unknown): error is OutcomeUnknownError | RedisUnavailableError | TooLateError {
  return error instanceof RedisUnavailableError || cameLate(error);
}

/** Redis refused the command for another reason than being unavailable: a permission, a wrong type under our key, a script's failure. */
export class RedisRefusedError extends HoldfastError {
  override readonly name = "RedisRefusedError";
  readonly code = "REDIS_REFUSED";
  readonly effect: Effect;
  /** The server's error code: `WRONGTYPE`, `NOPERM`, `ERR`, … */
  readonly reason: string;

  constructor(operation: string, reason: string, advice: string, effect: Effect, options?: ErrorOptions) {
    super(`${operation}: Redis refused with ${reason}: ${advice}`, options);
    this.reason = reason;
    this.effect = effect;
  }
}

const shownMax = 200;

/** What came instead, short enough for a message. */
function shown(got: unknown): string {
  let words: string;
  try {
    words =
      JSON.stringify(got, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)) ?? String(got);
  } catch {
    words = String(got);
  }
  return words.length > shownMax ? `${words.slice(0, shownMax)}…` : words;
}

/** The server answered something that this version does not understand: a newer record format, or foreign data under our key. */
export class UnexpectedReplyError extends HoldfastError {
  override readonly name = "UnexpectedReplyError";
  readonly code = "UNEXPECTED_REPLY";
  readonly effect = "possible";

  constructor(operation: string, expected: string, got: unknown) {
    super(`${operation}: expected ${expected}, got ${shown(got)}; is the key used by another program or version?`);
  }
}

/** The record in Redis was written by a newer version of this package. */
export class NewerFormatError extends HoldfastError {
  override readonly name = "NewerFormatError";
  readonly code = "NEWER_FORMAT";
  readonly effect = "none";
  readonly found: number;
  readonly supported: number;

  constructor(resource: string, found: number, supported: number) {
    super(
      `${resource}: the stored format is ${found}, this version reads up to ${supported}; upgrade this process before it touches the data`,
    );
    this.found = found;
    this.supported = supported;
  }
}

/** Fewer replicas than asked for confirmed the write in time. It stands on the master and a failover may take it back. */
export class NotReplicatedError extends HoldfastError {
  override readonly name = "NotReplicatedError";
  readonly code = "NOT_REPLICATED";
  readonly effect = "possible";
  readonly operationId: string;
  readonly replicasWanted: number;
  readonly replicasConfirmed: number;
  /** How long they were waited for, in milliseconds. */
  readonly timeoutMs: number;
  readonly #reply: unknown;

  /** @param options `cause`: what the server said instead of waiting for replicas; `reply`: what the script answered */
  constructor(
    operation: string,
    operationId: string,
    wanted: number,
    confirmed: number,
    timeoutMs: number,
    options?: ErrorOptions & { readonly reply?: unknown },
  ) {
    const said = options?.cause instanceof Error ? ` (WAIT: ${options.cause.message})` : "";
    super(
      `${operation}: done on the master, but ${confirmed} of ${wanted} replicas confirmed within ${timeoutMs} ms${said}; a failover may take it back`,
      options,
    );
    this.operationId = operationId;
    this.replicasWanted = wanted;
    this.replicasConfirmed = confirmed;
    this.timeoutMs = timeoutMs;
    this.#reply = options?.reply;
  }

  /** What the script answered, not decoded: for who has sent it, where that decides whether anything was done. No property of its own, so it is in no log. */
  get reply(): unknown {
    return this.#reply;
  }
}

/**
 * The failure of a request that carried the parts of several callers, or that had to come first, as one of these callers needs it: under its
 * own operation id, which it repeats its call with (K1).
 */
export function underOwnId(error: unknown, operation: string, operationId: string): unknown {
  if (error instanceof NotReplicatedError && error.operationId !== operationId) {
    const { replicasWanted, replicasConfirmed, timeoutMs, cause } = error;
    return new NotReplicatedError(operation, operationId, replicasWanted, replicasConfirmed, timeoutMs, { cause });
  }
  if (!(error instanceof OutcomeUnknownError) || error.operationId === operationId) return error;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why: "the request that carried it was lost" });
}

/**
 * An answer that is noted under its operation, and that too few replicas have, where what was asked for is not done by it. "Done on the master" is
 * said of nothing but what was done: who takes it for an answer ships. Whoever repeats the call hears this answer again, or what became of it
 * after a failover that took it back.
 */
export function unconfirmedAnswer(
  answer: string,
  error: NotReplicatedError,
  operation: string,
  operationId: string,
): OutcomeUnknownError {
  const why = `it is answered "${answer}", but too few replicas have that: ${error.message}`;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why });
}

/** The instance was closed. */
export class ClosedError extends HoldfastError {
  override readonly name = "ClosedError";
  readonly code = "CLOSED";
  readonly effect = "none";

  constructor(what: string) {
    super(`${what} is closed; make a new one`);
  }
}

/** The server's settings break a guarantee, and `strict` was asked for. */
export class UnsafeServerError extends HoldfastError {
  override readonly name = "UnsafeServerError";
  readonly code = "UNSAFE_SERVER";
  readonly effect = "none";
  /** What is wrong, each with its advice. */
  readonly findings: readonly { readonly topic: string; readonly message: string }[];

  constructor(findings: readonly { readonly topic: string; readonly message: string }[]) {
    super(`the Redis server is not safe for coordination: ${findings.map(({ message }) => message).join("; ")}`);
    this.findings = findings;
  }
}
