/**
 * The usual case: a lock that is free and that nobody waits for is taken, and given back. Requests of one tick share a script and a reply,
 * each with its own outcome; what is not usual is left to the scripts that know the queue (lease-store.ts).
 *
 * On a Cluster the locks lie in different slots, so each has a script of its own.
 */
import { Coalescer, isCluster, OutcomeUnknownError, RedisRefusedError, UnexpectedReplyError } from "@holdfast/core";
import type { Connection } from "@holdfast/core";
import { digits } from "./lease-store.ts";
import type { Owned } from "./lease-store.ts";
import type { ResolvedLockOptions } from "./options.ts";
import { takeOrFreeScript } from "./scripts.ts";

interface Request extends Owned {
  readonly verb: "acquire" | "release";
}

/** What became of a request to take a lock the short way. */
export type TakeReply =
  | { readonly kind: "granted"; readonly token: number }
  /** Nothing was done: the queue has to be asked. */
  | { readonly kind: "look" };

/** More in one script was slower: client and server fall into lockstep. */
const togetherMax = 16;
const signs = { acquire: "+", release: "-" } as const;
/** The answer to what is not usual. */
const look = "look";
const tokenForm = /^\d{16}$/u;

/** The short way of one instance. */
export class Turnstile {
  readonly #connection: Connection;
  readonly #options: ResolvedLockOptions;
  readonly #newTerms: string;
  readonly #keepMs: string;
  readonly #together: Coalescer<Request, string> | undefined;

  constructor(connection: Connection, options: ResolvedLockOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#newTerms = digits(options.ttlMs) + digits(options.lockDelayMs);
    this.#keepMs = String(options.ttlMs + options.lockDelayMs + options.fenceRetentionMs);
    if (!isCluster(connection.redis)) {
      this.#together = new Coalescer(togetherMax, (requests) => this.#send(requests));
    }
  }

  /** Takes a lock for the instance's ttl. */
  async take(owned: Owned): Promise<TakeReply> {
    const request: Request = { keys: owned.keys, owner: owned.owner, verb: "acquire" };
    const outcome = await this.#pass(request);
    if (outcome === look) return { kind: look };
    if (!tokenForm.test(outcome)) throw new UnexpectedReplyError(operationOf(request), "a token", outcome);
    return { kind: "granted", token: Number(outcome) };
  }

  /** Gives a lock back. Resolves to false when the queue has to be asked. */
  async free(owned: Owned): Promise<boolean> {
    const request: Request = { keys: owned.keys, owner: owned.owner, verb: "release" };
    const outcome = await this.#pass(request);
    if (outcome === "freed") return true;
    if (outcome === look) return false;
    throw new UnexpectedReplyError(operationOf(request), "freed or look", outcome);
  }

  #pass(request: Request): Promise<string> {
    if (this.#together === undefined) return this.#send([request]).then(([outcome]) => outcome ?? "nothing");
    // The error of many names the first of them.
    return this.#together.add(request).catch((error: unknown) => {
      if (!(error instanceof OutcomeUnknownError) || error.operationId === request.owner) throw error;
      const options = { cause: error, why: "sent together with others" };
      throw new OutcomeUnknownError(operationOf(request), request.owner, options);
    });
  }

  async #send(requests: readonly Request[]): Promise<readonly string[]> {
    const [first] = requests as readonly [Request];
    const others = requests.length === 1 ? "" : ` and ${requests.length - 1} more`;
    try {
      return await this.#connection.run(
        takeOrFreeScript,
        { leases: requests.map(({ keys }) => keys.lease) },
        {
          newTerms: this.#newTerms,
          keepMs: this.#keepMs,
          requests: requests.map(({ verb, owner }) => signs[verb] + owner),
        },
        {
          operation: operationOf(first) + others,
          operationId: requests.length === 1 ? first.owner : "of each lock",
          timeoutMs: this.#options.commandTimeoutMs,
        },
      );
    } catch (error) {
      // One that is refused, as for a key that this user may not touch, must not fail the others: each asks by itself.
      if (error instanceof RedisRefusedError && error.effect === "none") return requests.map(() => look);
      throw error;
    }
  }
}

function operationOf({ keys, verb }: Request): string {
  return `lock.${verb} ${keys.resource}`;
}
