/**
 * A fault that waits for a certain command.
 */

/**
 * Which commands a fault hits: a command name (any case), a pattern for the words joined by one space, or a predicate on the words.
 * A script call is `["EVALSHA", sha, numkeys, ...keys, ...args]`, so a pattern on a key is the easy way to find it.
 */
export type CommandMatch = string | RegExp | ((command: readonly string[]) => boolean);

/** How often a fault strikes. */
export interface RuleOptions {
  /** After this many matching commands it is over. Default 1; `Infinity` for all. */
  readonly times?: number;
}

/** Handle of a fault that waits for commands. */
export interface FaultRule {
  /** Resolves when the fault has really hit for the first time. Stays pending when it never does. */
  readonly hit: Promise<void>;
  /** How often it has hit. */
  readonly hits: number;
  /** Matches no further command. */
  cancel(): void;
}

/** Handle of a fault that holds something back. */
export interface HoldRule extends FaultRule {
  /** Lets go of everything that is held, and matches no further command. */
  release(): void;
}

/** What a rule does to a matching command. */
export type RuleAction =
  | { readonly kind: "swallow" }
  | { readonly kind: "repeat"; readonly keep: "first" | "last" }
  | { readonly kind: "hold"; readonly what: "request" | "reply" };

/** One rule of a proxy. */
export class ProxyRule implements HoldRule {
  readonly hit: Promise<void>;
  readonly action: RuleAction;
  hits = 0;
  readonly #match: CommandMatch;
  readonly #resolveHit: () => void;
  readonly #gates: (() => void)[] = [];
  #remaining: number;
  #released = false;

  constructor(match: CommandMatch, action: RuleAction, options: RuleOptions) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { times = 1 } = options;
    if (!(times >= 1)) throw new RangeError(`times must be at least 1, got ${times}.`);
    this.hit = promise;
    this.#resolveHit = resolve;
    this.#match = match;
    this.action = action;
    this.#remaining = times;
  }

  /** Whether this command is hit; uses up one of its times. */
  claims(command: readonly string[]): boolean {
    if (this.#remaining <= 0 || !matches(this.#match, command)) return false;
    this.#remaining -= 1;
    return true;
  }

  /** The fault has happened. */
  witness(): void {
    this.hits += 1;
    this.#resolveHit();
  }

  /** Something is held until `open` is called. */
  holds(open: () => void): void {
    this.witness();
    // A reply can arrive after the release of what was to hold it.
    if (this.#released) open();
    else this.#gates.push(open);
  }

  cancel(): void {
    this.#remaining = 0;
  }

  release(): void {
    this.cancel();
    this.#released = true;
    for (const open of this.#gates.splice(0)) open();
  }
}

function matches(match: CommandMatch, command: readonly string[]): boolean {
  if (typeof match === "function") return match(command);
  if (typeof match === "string") return command[0]?.toUpperCase() === match.toUpperCase();
  return command.join(" ").search(match) !== -1;
}
