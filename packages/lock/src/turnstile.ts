/**
 * The usual case: a lock that is free and that nobody waits for is taken, and given back. Requests of one tick share a script and a reply,
 * each with its own outcome; what is not usual is left to the scripts that know the queue (lease-store.ts). An error of them all names the
 * first: whoever asks tells it under its own id.
 *
 * On a Cluster the locks lie in different slots, so each has a script of its own.
 */
import { Coalescer, isCluster, RedisRefusedError, UnexpectedReplyError } from "@holdfast/core";
import type { Connection } from "@holdfast/core";
import { digits } from "./lease-store.ts";
import type { Owned } from "./lease-store.ts";
import type { ResolvedLockOptions } from "./options.ts";
import { takeOrFreeScript } from "./scripts.ts";

/** What became of a request. */
type Outcome =
  | { readonly kind: "granted"; readonly token: number }
  | { readonly kind: "freed" }
  /** Nothing was done: the queue has to be asked. */
  | { readonly kind: "look" };

/** What became of a request to take a lock the short way. */
export type TakeReply = Exclude<Outcome, { readonly kind: "freed" }>;

interface Request extends Owned {
  readonly verb: "acquire" | "release";
}

/** More in one script was slower: client and server fall into lockstep. */
const togetherMax = 16;
const signs = { acquire: "+", release: "-" } as const;
const look: Outcome = { kind: "look" };
const freed: Outcome = { kind: "freed" };
const tokenForm = /^\d{16}$/u;

/** The short way of one instance. */
export class Turnstile {
  readonly #connection: Connection;
  readonly #options: ResolvedLockOptions;
  readonly #newTerms: string;
  readonly #keepMs: string;
  readonly #together: Coalescer<Request, Outcome> | undefined;

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
  take({ keys, owner }: Owned): Promise<TakeReply> {
    return this.#pass({ keys, owner, verb: "acquire" }) as Promise<TakeReply>;
  }

  /** Gives a lock back. */
  free({ keys, owner }: Owned): Promise<Exclude<Outcome, { readonly kind: "granted" }>> {
    return this.#pass({ keys, owner, verb: "release" }) as Promise<Exclude<Outcome, { readonly kind: "granted" }>>;
  }

  #pass(request: Request): Promise<Outcome> {
    if (this.#together !== undefined) return this.#together.add(request);
    return this.#send([request]).then(([outcome]) => {
      if (outcome instanceof Error) throw outcome;
      return outcome as Outcome;
    });
  }

  async #send(requests: readonly Request[]): Promise<readonly (Outcome | Error)[]> {
    const [first] = requests as readonly [Request];
    const others = requests.length === 1 ? "" : ` and ${requests.length - 1} more`;
    try {
      const words = await this.#connection.run(
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
      return requests.map((request, index) => outcomeOf(request, words[index]));
    } catch (error) {
      // One that is refused, as for a key that this user may not touch, must not fail the others: each asks by itself.
      if (error instanceof RedisRefusedError && error.effect === "none") return requests.map(() => look);
      throw error;
    }
  }
}

function outcomeOf(request: Request, word: string | undefined): Outcome | Error {
  if (word === "look") return look;
  if (request.verb === "release") {
    return word === "freed" ? freed : new UnexpectedReplyError(operationOf(request), "freed or look", word);
  }
  if (word !== undefined && tokenForm.test(word)) return { kind: "granted", token: Number(word) };
  return new UnexpectedReplyError(operationOf(request), "a token or look", word);
}

function operationOf({ keys, verb }: Request): string {
  return `lock.${verb} ${keys.resource}`;
}
