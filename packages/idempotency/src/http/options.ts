/** Options of the guard, the same for every framework. */
import { callback, integerOr, optionsObject } from "@holdfast/core";
import { defaultDocumentation } from "./problem.ts";
import { checkReplayHeaders, defaultReplayHeaders } from "./response.ts";

/**
 * Options of the guard.
 * @typeParam Request what the framework calls a request
 */
export interface HttpOptions<Request> {
  /** Whose keys these are: an account, from the authentication, never from what the client may choose. No tenant answers 400. */
  readonly tenant: (request: Request) => string | undefined | Promise<string | undefined>;
  /** Methods that are guarded. Default POST and PATCH. */
  readonly methods?: readonly string[] | undefined;
  /**
   * Which requests of these methods are guarded. Default all. Fastify asks before the body is parsed and again after: where only the second
   * answer is yes, the parsed body is compared instead of its bytes.
   */
  readonly applies?: ((request: Request) => boolean) | undefined;
  /** Whether a request without a key is refused with 400 (default) or passes without protection. */
  readonly required?: boolean | undefined;
  /** How long a duplicate waits for the running request, in milliseconds, before it hears 409. Default: the instance's. */
  readonly waitMs?: number | undefined;
  /**
   * Which statuses are stored; with others the key is free again, and the next attempt has `recovered: true`. Default: below 500, but 408
   * and 425. 429 and 503 never are. 408 and 504 that are not stored are an unknown outcome: the key stays closed for one more lease.
   */
  readonly stores?: ((status: number) => boolean) | undefined;
  /** Names of the headers that are replayed, instead of the default ones. */
  readonly replayHeaders?: readonly string[] | undefined;
  /**
   * What tells two requests apart, or a promise of it, instead of method, target and body, which `undefined` leaves it to. Needed where
   * the handler itself reads the body: uploads, streams.
   */
  readonly fingerprint?: ((request: Request) => unknown) | undefined;
  /** URL of the page with the anchors of the problems, without fragment. */
  readonly documentation?: string | undefined;
}

/** Complete options of the guard. */
export interface ResolvedHttpOptions<Request> {
  readonly tenant: (request: Request) => string | undefined | Promise<string | undefined>;
  readonly methods: ReadonlySet<string>;
  readonly applies: (request: Request) => boolean;
  readonly required: boolean;
  readonly waitMs: number | undefined;
  readonly stores: (status: number) => boolean;
  readonly replayHeaders: ReadonlySet<string>;
  readonly fingerprint: ((request: Request) => unknown) | undefined;
  readonly documentation: string;
}

const storesByDefault = (status: number): boolean => status < 500 && status !== 408 && status !== 425;

/** @throws TypeError, RangeError naming the field */
export function resolveHttpOptions<Request>(options: HttpOptions<Request>): ResolvedHttpOptions<Request> {
  optionsObject("options", options);
  callback("tenant", options.tenant);
  for (const field of ["applies", "stores", "fingerprint"] as const) {
    if (options[field] !== undefined) callback(field, options[field]);
  }
  return {
    tenant: options.tenant,
    methods: new Set((options.methods ?? ["POST", "PATCH"]).map((method) => method.toUpperCase())),
    applies: options.applies ?? (() => true),
    required: options.required ?? true,
    waitMs: options.waitMs === undefined ? undefined : integerOr(0, "waitMs", options.waitMs, { min: 0, max: 600_000 }),
    stores: options.stores ?? storesByDefault,
    replayHeaders: checkReplayHeaders(options.replayHeaders ?? defaultReplayHeaders),
    fingerprint: options.fingerprint,
    documentation: options.documentation ?? defaultDocumentation,
  };
}
