/**
 * The way to the shards of a timer: opens each before its first use, so that no client works on timers that are kept in another number
 * of shards (T11), and opens it again when the server has forgotten it or kept it differently since.
 */
import { ambientPatienceMs, NewerFormatError, RedisUnavailableError, underOwnId } from "@holdfast/core";
import type { CallOptions, Connection } from "@holdfast/core";
import { ShardsMismatchError, ShardsMovingError } from "./errors.ts";
import { shardKeys, shardOf } from "./keys.ts";
import type { ShardKeys } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { openScript } from "./scripts.ts";
import type { OpenReply } from "./scripts.ts";
import { sighted, sightingOf } from "./sightings.ts";
import type { Sighting } from "./sightings.ts";

/** A shard that this client may use. */
export interface OpenShard {
  readonly index: number;
  readonly keys: ShardKeys;
  /** What every request carries; another one is refused. */
  readonly layout: string;
  /** Set while running firings end before timers move to so many shards. */
  readonly movingTo: number | undefined;
}

/** In how many shards timers are kept: while they are moving, in how many so far. */
export interface StoredShards {
  readonly shards: number;
  readonly moving: boolean;
  readonly to: number;
}

/** Formats of layouts that this version reads. */
const formatSupported = 1;
/** A shard whose layout changes more often than this during one call is being moved. */
const openingsMax = 3;

/** All shards of one timer as one client sees them. */
export class ShardAccess {
  readonly connection: Connection;
  readonly name: string;
  readonly shards: number;
  readonly #options: Pick<
    ResolvedTimerOptions<unknown>,
    "commandTimeoutMs" | "durability" | "rememberMs" | "prefix" | "random"
  >;
  readonly #keys: readonly ShardKeys[];
  readonly #open: (OpenShard | undefined)[];
  readonly #opening: (Promise<OpenShard> | undefined)[];
  readonly #onFounded: (shard: number) => void;

  constructor(
    connection: Connection,
    name: string,
    options: ResolvedTimerOptions<unknown>,
    onFounded: (shard: number) => void,
  ) {
    this.connection = connection;
    this.name = name;
    this.shards = options.shards;
    this.#options = options;
    this.#keys = Array.from({ length: options.shards }, (_, shard) => shardKeys(options.prefix, name, shard));
    this.#open = Array.from({ length: options.shards });
    this.#opening = Array.from({ length: options.shards });
    this.#onFounded = onFounded;
  }

  /** The keys of a shard. */
  keys(shard: number): ShardKeys {
    return this.#keys[shard] as ShardKeys;
  }

  /**
   * Calls a script on a shard that is open.
   * @param call gets the shard and the time left in milliseconds; resolves to undefined when the shard is not kept as it thinks
   * @param whileMoving true for what ends firings: it goes on until their timers are moved
   * @param startMs when the time of the call began, in monotonic milliseconds, where others had to come before it; default now
   * @throws ShardsMismatchError, ShardsMovingError, NewerFormatError, and what `call` throws
   */
  async run<Result>(
    shard: number,
    call: (open: OpenShard, timeoutMs: number) => Promise<Result | undefined>,
    whileMoving = false,
    startMs?: number,
  ): Promise<Result> {
    const nowMs = this.connection.clock.monotonicMs();
    const { commandTimeoutMs } = this.#options;
    // All requests of a call share its time.
    const giveUpAtMs = Math.min((startMs ?? nowMs) + commandTimeoutMs, nowMs + ambientPatienceMs());
    for (let openings = 0; ;) {
      let open = this.#open[shard];
      if (open === undefined || (open.movingTo !== undefined && !whileMoving)) {
        open = await this.#openShard(shard, giveUpAtMs);
        openings += 1;
      }
      if (open.movingTo !== undefined && !whileMoving) throw new ShardsMovingError(this.name, open.movingTo);
      const isFirst = openings === 0 && startMs === undefined;
      const result = await call(open, isFirst ? commandTimeoutMs : this.#leftMs(giveUpAtMs));
      if (result !== undefined) return result;
      if (this.#open[shard] === open) this.#open[shard] = undefined;
      if (openings === openingsMax) {
        throw new RedisUnavailableError(
          `timer ${this.name}`,
          "LAYOUT",
          "the shard is being set up by others; try again",
        );
      }
    }
  }

  /** As `run`, for a call of one caller: what failed before it was sent, or beside it, fails it under its own operation id (K1). */
  async runAs<Result>(
    shard: number,
    { operation, operationId }: { readonly operation: string; readonly operationId: string },
    call: (open: OpenShard, options: CallOptions) => Promise<Result | undefined>,
  ): Promise<Result> {
    const { durability } = this.#options;
    try {
      return await this.run(shard, (open, timeoutMs) => call(open, { operation, operationId, timeoutMs, durability }));
    } catch (error) {
      throw underOwnId(error, operation, operationId);
    }
  }

  /** What this process knows of the time on the shard of an id. */
  sightingFor(id: string): Sighting | undefined {
    return sightingOf(this.keys(shardOf(id, this.shards)).state);
  }

  /** An answer of a shard brought the server's time, in microseconds. */
  answered({ keys, layout }: OpenShard, nowUs: number): void {
    this.connection.observeTime(keys.state, nowUs);
    sighted(keys.state, layout, nowUs);
  }

  /**
   * In how many shards the timers are kept, or between which numbers they are on their way. Shard 0 knows, unless a failover has taken back on
   * another one what the last move did there.
   */
  async shardsStored(): Promise<StoredShards> {
    const { commandTimeoutMs } = this.#options;
    const first = await this.#ask(0, true, commandTimeoutMs);
    if (first.kind === "absent") throw new RedisUnavailableError(`timer ${this.name}`, "LAYOUT", "try again");
    const stored = this.#storedBy(first);
    if (stored.moving || stored.shards !== this.shards) return stored;
    const others = this.#keys.map((_, shard) => shard).slice(1);
    const replies = await Promise.all(others.map((shard) => this.#ask(shard, false, commandTimeoutMs)));
    const left = replies.find(
      (reply) => reply.kind === "other" || (reply.kind === "opened" && reply.movingTo !== undefined),
    );
    return left === undefined || left.kind === "absent" ? stored : this.#storedBy(left);
  }

  #storedBy(reply: Exclude<OpenReply, { kind: "absent" }>): StoredShards {
    if (reply.kind === "opened") {
      return { shards: this.shards, moving: reply.movingTo !== undefined, to: reply.movingTo ?? this.shards };
    }
    const [format, shards = ""] = reply.layout.split(":");
    if (Number(format) !== formatSupported)
      throw new NewerFormatError(`timer ${this.name}`, Number(format), formatSupported);
    const [from, to = from] = shards.split(">");
    return { shards: Number(from), moving: shards.includes(">"), to: Number(to) };
  }

  /** Milliseconds, for a request that is sent now. @throws RedisUnavailableError when none are left: it is not sent */
  #leftMs(giveUpAtMs: number): number {
    const leftMs = Math.ceil(giveUpAtMs - this.connection.clock.monotonicMs());
    if (leftMs > 0) return leftMs;
    const advice =
      "to open the shard, or what had to come before, took all the time there was; check the server's load and the network";
    throw new RedisUnavailableError(`timer ${this.name}`, "UNREACHABLE", advice);
  }

  #openShard(shard: number, giveUpAtMs: number): Promise<OpenShard> {
    // Whoever must be done earlier than others opens for itself: its deadline is not theirs, and it does not wait as long as they do.
    if (ambientPatienceMs() < this.#options.commandTimeoutMs) return this.#openInTurn(shard, giveUpAtMs);
    const known = this.#opening[shard];
    if (known !== undefined) return known;
    const opening = this.#openInTurn(shard, giveUpAtMs).finally(() => {
      if (this.#opening[shard] === opening) this.#opening[shard] = undefined;
    });
    this.#opening[shard] = opening;
    return opening;
  }

  async #openInTurn(shard: number, giveUpAtMs: number): Promise<OpenShard> {
    let reply = await this.#ask(shard, shard === 0, this.#leftMs(giveUpAtMs));
    if (reply.kind === "absent") {
      // Shard 0 says how many there are; it is asked anew before another one is founded.
      this.#accept(0, await this.#ask(0, true, this.#leftMs(giveUpAtMs)));
      reply = await this.#ask(shard, true, this.#leftMs(giveUpAtMs));
    }
    return this.#accept(shard, reply);
  }

  async #ask(shard: number, found: boolean, timeoutMs: number): Promise<OpenReply> {
    const { commandTimeoutMs, rememberMs, random } = this.#options;
    const reply = await this.connection.run(
      openScript,
      this.keys(shard),
      { shards: this.shards, boundUs: commandTimeoutMs * 1_000, keepUs: rememberMs * 1_000, found: found ? "1" : "0" },
      { operation: `timer.open ${this.name}`, operationId: random.id(), timeoutMs },
    );
    if (reply.kind === "opened") this.connection.observeTime(this.keys(shard).state, reply.nowUs);
    return reply;
  }

  #accept(shard: number, reply: OpenReply): OpenShard {
    switch (reply.kind) {
      case "opened": {
        const { layout, movingTo } = reply;
        const open = { index: shard, keys: this.keys(shard), layout, movingTo };
        // The layout ends with the time of founding: when that is now, nothing was there.
        if (reply.layout.endsWith(`:${reply.nowUs}`)) this.#onFounded(shard);
        this.#open[shard] = open;
        return open;
      }
      case "other":
        throw this.#refusal(reply.layout);
      case "absent":
        throw new RedisUnavailableError(
          `timer ${this.name}`,
          "LAYOUT",
          "the shard vanished while it was opened; try again",
        );
    }
  }

  /** Why a layout such as `1:4:1795312345678901`, or `1:1>4:1795…` while timers move, is not ours. */
  #refusal(layout: string): Error {
    const [format, shards = ""] = layout.split(":");
    if (Number(format) !== formatSupported)
      return new NewerFormatError(`timer ${this.name}`, Number(format), formatSupported);
    const target = shards.split(">")[1];
    if (target !== undefined) return new ShardsMovingError(this.name, Number(target));
    return new ShardsMismatchError(this.name, this.shards, Number(shards));
  }
}
