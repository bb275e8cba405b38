/**
 * How a primitive talks to Redis: runs typed scripts with a bound in server time (K1) and a local timeout, and tells done, refused and
 * unknown apart. One connection object serves all primitives on a client and holds what they share.
 *
 * The client's offline queue is never used: a command that waits there would be sent after its caller has given up. A call waits for
 * the client to be ready itself, and has then provably had no effect when it gives up.
 */
import { CallDeadline } from "./call-deadline.ts";
import { ClientState } from "./client-state.ts";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { slotOwner } from "./cluster-nodes.ts";
import { DurableWire } from "./durable-wire.ts";
import type { Durability } from "./durable-wire.ts";
import { NotReplicatedError } from "./errors.ts";
import { checkClient, isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike } from "./redis-like.ts";
import type { LuaSource, Script, ScriptArgs, ScriptKeys } from "./script.ts";
import { ScriptCall } from "./script-call.ts";
import type { CallRoute } from "./script-call.ts";
import { ServerClock } from "./server-clock.ts";
import { slotOf } from "./slot.ts";
import { WakeUps } from "./wake-ups.ts";
import { Wire } from "./wire.ts";

/** What accompanies a call of a script. */
export interface CallOptions {
  /** For messages: what is done to which resource, `timer.schedule order-1`. */
  readonly operation: string;
  /** Names the call when its outcome is unknown; required in effect for scripts that change something. */
  readonly operationId?: string;
  /** The longest wait in milliseconds, the time for becoming ready included; an ambient deadline that is to come shortens it. */
  readonly timeoutMs: number;
  /** When the caller asked, in monotonic milliseconds; default now. `sentUs` is made from it, so a call made again keeps its place. */
  readonly askedAtMs?: number | undefined;
  /** Replicas that must confirm the write before the call counts as done. */
  readonly durability?: Durability | undefined;
}

/** A client with what its primitives share. */
export class Connection {
  readonly redis: RedisLike;
  readonly clock: Clock;
  readonly serverClock: ServerClock;
  readonly wakeUps: WakeUps;
  /** The command with which scripts send hints: sharded on a Cluster. */
  readonly publishCommand: "PUBLISH" | "SPUBLISH";
  readonly #state: ClientState;
  readonly #route: CallRoute;
  #durableWire: DurableWire | undefined;

  private constructor(redis: RedisLike, clock: Clock) {
    const state = ClientState.of(redis);
    this.redis = redis;
    this.clock = clock;
    this.serverClock = new ServerClock(clock, {
      get epoch() {
        return state.epoch;
      },
      readTimeUs: (slotKey) => this.#readTimeUs(slotKey),
    });
    this.wakeUps = new WakeUps(redis, clock);
    this.publishCommand = isCluster(redis) ? "SPUBLISH" : "PUBLISH";
    this.#state = state;
    this.#route = {
      clock,
      state,
      serverClock: this.serverClock,
      wire: new Wire(redis, state),
      nodeOf: (slotKey) => this.#nodeOf(slotKey),
      sendDurably: (request, caller) => (this.#durableWire ??= new DurableWire(redis)).send(request, caller),
    };
  }

  /**
   * The connection of a client; the same object for the same client and clock.
   * @throws TypeError when the client is none, or has a `keyPrefix`
   */
  static of(redis: RedisLike, clock: Clock = systemClock): Connection {
    checkClient(redis);
    let ofClient = connections.get(redis);
    if (ofClient === undefined) {
      ofClient = new WeakMap();
      connections.set(redis, ofClient);
    }
    let connection = ofClient.get(clock);
    if (connection === undefined) {
      connection = new Connection(redis, clock);
      ofClient.set(clock, connection);
    }
    return connection;
  }

  /**
   * Another number after each loss of the client's connection. When it changed between a request and its answer, the client may have sent
   * the request twice, and the first may still be under way.
   */
  get epoch(): number {
    return this.#state.epoch;
  }

  /** The same of what is written with `durability`, which goes over connections of its own. */
  get durableEpoch(): number {
    return this.#durableWire?.epoch ?? 0;
  }

  /**
   * Runs a script.
   * @returns the decoded reply
   * @throws RedisUnavailableError, RedisRefusedError, TooLateError (nothing was done), OutcomeUnknownError, NotReplicatedError,
   *   UnexpectedReplyError
   */
  run<const Source extends LuaSource, Result>(
    script: Script<Source, Result>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    options: CallOptions,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const deadline = new CallDeadline(this.clock, options);
      const { askedAtMs = deadline.startMs, operationId, durability } = options;
      const terms = { script, keys, args, deadline, askedAtMs, operationId, durability };
      new ScriptCall(this.#route, terms, resolve, reject).start();
    });
  }

  /**
   * Runs a script, for whoever can tell from its reply whether anything was done: that too few replicas have what it wrote is no failure of
   * its own then.
   * @param judge gets the reply and the error; what it returns is the result, and it throws the error where that is what counts
   * @throws as `run`
   */
  runJudged<const Source extends LuaSource, Result, Judged>(
    script: Script<Source, Result>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    options: CallOptions,
    judge: (reply: Result, error: NotReplicatedError) => Judged,
  ): Promise<Result | Judged> {
    const answer = this.run(script, keys, args, options);
    if (options.durability === undefined) return answer;
    return answer.catch((error: unknown) => {
      if (!(error instanceof NotReplicatedError)) throw error;
      return judge(script.decode(error.reply, options.operation), error);
    });
  }

  /**
   * Runs a script whose refusals need no replicas: that too few have what it wrote is a failure of those replies that wrote for their caller,
   * and any other is the answer (decision 083).
   * @param wrote whether a reply says so
   * @throws as `run`
   */
  runConfirmed<const Source extends LuaSource, Result>(
    script: Script<Source, Result>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    options: CallOptions,
    wrote: (reply: Result) => boolean,
  ): Promise<Result> {
    return this.runJudged(script, keys, args, options, (reply, error) => {
      if (wrote(reply)) throw error;
      return reply;
    });
  }

  /** Takes over a server time, in microseconds, that has just arrived in the reply of a script on this key. */
  observeTime(slotKey: string, serverUs: number): void {
    this.serverClock.observe(this.#nodeOf(slotKey), serverUs);
  }

  /** Runs a command that changes nothing, on any node or on the one that serves the first key. */
  async read(command: string, args: CommandArgument[], options: CallOptions): Promise<unknown> {
    const deadline = new CallDeadline(this.clock, options);
    if (!this.#state.canSend) await this.#state.whenReady(this.clock, deadline.atMs, options.operation);
    return deadline.bound(() => this.redis.call(command, args), null);
  }

  /**
   * Closes what this connection opened; the caller's client stays as it is. For whoever owns the client: its primitives share the
   * connection, and each of them only ends its own listening.
   */
  async close(): Promise<void> {
    this.#durableWire?.close();
    await this.wakeUps.close();
  }

  async #readTimeUs(slotKey: string): Promise<number> {
    const reply = isCluster(this.redis)
      ? await this.redis.call("eval", ["return redis.call('TIME')", 1, slotKey])
      : await this.redis.call("time", []);
    const [seconds, microseconds] = reply as [string, string];
    return Number(seconds) * 1_000_000 + Number(microseconds);
  }

  /** The node that serves a key, as far as the client knows: each node has a clock of its own. */
  #nodeOf(slotKey: string): string {
    if (!isCluster(this.redis)) return "";
    const slot = slotOf(slotKey);
    return slotOwner(this.redis, slot) ?? `slot ${slot}`;
  }
}

const connections = new WeakMap<RedisLike, WeakMap<Clock, Connection>>();
