/**
 * What all frameworks share: reads the key, runs the handler at most once for it, and says what the client is to be answered. How a response
 * is recorded and written is the adapters' business.
 *
 * The client is answered after the outcome is stored. That it has gone changes nothing: an attempt is never aborted for it.
 */
import { ambientRemainingMs, HoldfastError, NotReplicatedError, OutcomeUnknownError } from "@holdfast/core";
import type { Attempt } from "../attempt.ts";
import {
  AttemptSupersededError,
  FingerprintMismatchError,
  InProgressError,
  ResultNotStoredError,
  ResultUnreadableError,
} from "../errors.ts";
import { saysTimedOut } from "../failure.ts";
import { payloadDigest } from "../fingerprint.ts";
import type { Idempotency } from "../idempotency.ts";
import { parseKeyHeader } from "./key-header.ts";
import { resolveHttpOptions } from "./options.ts";
import type { HttpOptions, ResolvedHttpOptions } from "./options.ts";
import { problemResponse } from "./problem.ts";
import { isStoredResponse, replayableHeaders, responseCodec } from "./response.ts";
import type { OmittedReason, Produced, StoredResponse, WholeResponse } from "./response.ts";

/** A request as the guard sees it. */
export interface GuardedRequest<Request> {
  /** The framework's, for the callbacks of the options. */
  readonly request: Request;
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** The header `Idempotency-Key`, joined by `, ` when it came more than once. */
  readonly keyHeader: string | undefined;
  /** The body: bytes where the framework has them, undefined without one. Asked only when it is needed; throws for one that it cannot read. */
  readonly payload: () => unknown;
  /** Aborts when the client has gone: ends its waiting for another attempt, never an attempt. */
  readonly signal: AbortSignal;
  /** Whether no ambient deadline had passed when the request came, where that was before `handle`. */
  readonly inTime?: boolean | undefined;
}

/** What a handler did: produced a response, or threw, or both when the framework has made a response of the error. */
export interface Handled {
  readonly produced?: Produced | undefined;
  readonly thrown?: { readonly error: unknown } | undefined;
  /** True when the request was answered before its handler could begin, which then never does. */
  readonly never?: boolean | undefined;
}

/** What the client is to be answered. */
export type Verdict =
  /** What the handler produced or threw, as it is. */
  | { readonly kind: "handled" }
  /** This, instead of whatever was produced. */
  | { readonly kind: "answer"; readonly response: WholeResponse }
  /** An error for the framework to make a response of. */
  | { readonly kind: "error"; readonly error: unknown }
  /** Nothing: the client has gone while it waited for another attempt. */
  | { readonly kind: "gone" };

/** Retry-After when nothing better is known, in milliseconds. */
const retryMs = 1_000;

async function defaultFingerprint<Request>({ method, target, payload }: GuardedRequest<Request>): Promise<unknown> {
  const body = await payload();
  return [method, target, body === undefined ? "" : payloadDigest(body)];
}

/** Guards the requests of one server. */
export class HttpGuard<Request> {
  readonly #idempotency: Idempotency;
  readonly #options: ResolvedHttpOptions<Request>;

  /** @throws TypeError, RangeError naming the field */
  constructor(idempotency: Idempotency, options: HttpOptions<Request>) {
    this.#idempotency = idempotency;
    this.#options = resolveHttpOptions(options);
  }

  /** Longest body that is stored, in bytes. */
  get bodyBytesMax(): number {
    return this.#idempotency.resultBytesMax;
  }

  /** Whether payloads are compared by what they are; false when `fingerprint` says what counts. */
  get readsPayloads(): boolean {
    return this.#options.fingerprint === undefined;
  }

  /** Whether a request is guarded. One that is not goes straight to its handler. */
  guards({ request, method, keyHeader }: Pick<GuardedRequest<Request>, "request" | "method" | "keyHeader">): boolean {
    const { methods, applies, required } = this.#options;
    return methods.has(method.toUpperCase()) && (required || keyHeader !== undefined) && applies(request);
  }

  /** An answer of the guard's own. */
  problem(
    ...[code, detail, retryAfterMs]: Parameters<typeof problemResponse> extends [string, ...infer Rest] ? Rest : never
  ): Verdict {
    return { kind: "answer", response: problemResponse(this.#options.documentation, code, detail, retryAfterMs) };
  }

  /**
   * Handles a guarded request.
   * @param handle runs the handler; rejects only when it cannot say what the handler did
   */
  async handle(guarded: GuardedRequest<Request>, handle: (attempt: Attempt) => Promise<Handled>): Promise<Verdict> {
    // A deadline that has passed by now is not the request's: its server was started under it.
    const { request, signal, inTime = ambientRemainingMs() > 0 } = guarded;
    const { tenant: tenantOf, fingerprint: fingerprintOf, waitMs } = this.#options;
    const header = parseKeyHeader(guarded.keyHeader);
    if (header.kind === "missing") {
      return this.problem(
        "idempotency-key-missing",
        "Send the header Idempotency-Key with a value of your own, such as a UUID.",
      );
    }
    if (header.kind === "malformed")
      return this.problem("idempotency-key-malformed", `Idempotency-Key: ${header.why}.`);
    let begun = false;
    let handled: Handled | undefined;
    try {
      const tenant = await tenantOf(request);
      if (tenant === undefined || tenant === "") {
        return this.problem("tenant-missing", "It is not known whose key this is; authenticate first.");
      }
      const own = await fingerprintOf?.(request);
      const fingerprint = own === undefined ? await defaultFingerprint(guarded) : payloadDigest(own);
      // Whoever sent it has given it up meanwhile. The claim would take the deadline for one of somebody else's.
      if (inTime && ambientRemainingMs() === 0) {
        const detail = "The request was not processed: its deadline passed before it could begin.";
        return this.problem("store-unavailable", detail, retryMs);
      }
      const { value, replayed } = await this.#idempotency.run(
        { key: header.key, tenant },
        { fingerprint, waitMs, signal, codec: responseCodec },
        async (attempt) => {
          begun = true;
          handled = await handle(attempt);
          return this.#store(attempt, handled);
        },
      );
      return replayed ? this.#replay(value) : { kind: "handled" };
    } catch (error) {
      return this.#verdictOn(error, begun, handled, signal);
    }
  }

  /** What is stored of what the handler did; throws its error where that is what counts. */
  #store(attempt: Attempt, { produced, thrown, never: neverBegun = false }: Handled): StoredResponse | undefined {
    if (neverBegun) {
      attempt.skipStoring("none");
      return undefined;
    }
    const failure = thrown ?? this.#timedOut(attempt, produced);
    const decided = failure === undefined ? undefined : this.#idempotency.decide(failure.error, attempt);
    // Without a response of the framework's, the error itself is released, stored or held.
    if (failure !== undefined && (decided?.decision === "unknown" || produced === undefined)) throw failure.error;
    if (produced === undefined) throw new TypeError("the handler neither produced a response nor threw");
    const { status } = produced;
    // A refusal for the moment, frozen for a day, would refuse for a day.
    const never = status === 429 || status === 503;
    if (decided?.decision === "release" || never || (decided === undefined && !this.#options.stores(status))) {
      attempt.skipStoring(decided?.effect ?? "possible");
      return undefined;
    }
    const headers = replayableHeaders(produced.headers, this.#options.replayHeaders);
    const omitted = this.#omitted(produced);
    if (omitted !== undefined) return { status, headers: [], body: "", omitted };
    return { status, headers, body: produced.body ?? "" };
  }

  /** The error of a response with which a time limit, here or further on, has answered in place of whoever may still be at work (I1). */
  #timedOut({ resource, key }: Attempt, produced: Produced | undefined): Handled["thrown"] {
    if (produced === undefined || !saysTimedOut(produced.status) || this.#options.stores(produced.status))
      return undefined;
    const why = `the response has the status ${produced.status}, so the work may still be going on`;
    return { error: new OutcomeUnknownError(`idempotency.run ${resource}`, key, { why }) };
  }

  #omitted({ body, headers }: Produced): OmittedReason | undefined {
    if (body === undefined) return "stream";
    // The head is stored, too, and is as long as its headers and a few more bytes.
    const headBytes = 128 + headers.reduce((sum, [name, value]) => sum + name.length + 2 * value.length + 8, 0);
    return body.length + headBytes > this.bodyBytesMax ? "too-large" : undefined;
  }

  #replay(stored: unknown): Verdict {
    if (!isStoredResponse(stored))
      return { kind: "error", error: new TypeError("the stored result is not a response") };
    if (stored.omitted !== undefined) return this.#notStored(stored.omitted);
    const { status, headers, body } = stored;
    return {
      kind: "answer",
      response: { status, headers: [...headers, ["idempotency-replayed", "true"]], body: Buffer.from(body) },
    };
  }

  #notStored(why: string): Verdict {
    const detail = `The request was processed and must not be sent again; its response was not kept (${why}). Read the resource instead.`;
    return this.problem("response-not-stored", detail);
  }

  #verdictOn(error: unknown, begun: boolean, handled: Handled | undefined, signal: AbortSignal): Verdict {
    if (error === handled?.thrown?.error && handled !== undefined) return { kind: "handled" };
    // It is stored; a client that were told to repeat it would run it again if a failover took it back meanwhile.
    if (error instanceof NotReplicatedError && handled !== undefined) return { kind: "handled" };
    if (signal.aborted && error === signal.reason) return { kind: "gone" };
    if (error instanceof InProgressError) {
      return this.problem("in-progress", "Wait for Retry-After and send the same request again.", error.retryAfterMs);
    }
    if (error instanceof AttemptSupersededError) {
      return this.problem(
        "in-progress",
        "This request was overtaken by another one with its key; send it again.",
        retryMs,
      );
    }
    if (error instanceof FingerprintMismatchError) {
      return this.problem("payload-mismatch", "Take a new key for a new request, or send the first request again.");
    }
    if (error instanceof OutcomeUnknownError) {
      return this.problem(
        "outcome-unknown",
        "The request may have been processed. Send the same request again later.",
        retryMs,
      );
    }
    if (error instanceof ResultNotStoredError) return this.#notStored(error.reason);
    if (error instanceof ResultUnreadableError) {
      return this.problem(
        "result-unreadable",
        "Another version of the service stored the response; send it again later.",
        retryMs,
      );
    }
    if (error instanceof HoldfastError && !begun) {
      return this.problem("store-unavailable", "The request was not processed. Send the same request again.", retryMs);
    }
    return { kind: "error", error };
  }
}
