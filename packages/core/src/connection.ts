/**
 * How a primitive talks to Redis: runs typed scripts with a bound in server time (K1) and a local timeout, and tells done, refused and
 * unknown apart. One connection object serves all primitives on a client and holds what they share.
 *
 * The client's offline queue is never used: a command that waits there would be sent after its caller has given up. A call waits for
 * the client to be ready itself, and has then provably had no effect when it gives up.
 */
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { deadlineListOf } from "./deadline-list.ts";
import { DurableWire } from "./durable-wire.ts";
import type { Durability } from "./durable-wire.ts";
import { NotReplicatedError, OutcomeUnknownError, RedisUnavailableError, TooLateError } from "./errors.ts";
import { checkClient, isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike } from "./redis-like.ts";
import { whenReady } from "./readiness.ts";
import { refusal } from "./refusal.ts";
import type { LuaSource, Script, ScriptArgs, ScriptKeys } from "./script.ts";
import { ServerClock } from "./server-clock.ts";
import { slotOf } from "./slot.ts";
import { WakeUps } from "./wake-ups.ts";
import { Wire } from "./wire.ts";
import type { WireCall } from "./wire.ts";

/** What accompanies a call of a script. */
export interface CallOptions {
  /** For messages: what is done to which resource, `timer.schedule order-1`. */
  readonly operation: string;
  /** Names the call when its outcome is unknown; required in effect for scripts that change something. */
  readonly operationId?: string;
  /** The longest wait in milliseconds, the time for becoming ready included. */
  readonly timeoutMs: number;
  /** Replicas that must confirm the write before the call counts as done. */
  readonly durability?: Durability | undefined;
}

const tooLateTag = "too-late";

/** The server time of a `too-late` reply in either form, or undefined for any other reply. */
function tooLateUs(reply: unknown): number | undefined {
  if (Array.isArray(reply) && String(reply[0]) === tooLateTag) return Number(String(reply[1]));
  if (typeof reply === "string" && reply.startsWith(`${tooLateTag} `)) return Number(reply.slice(tooLateTag.length + 1));
  return undefined;
}

/** A client with what its primitives share. */
export class Connection {
  readonly redis: RedisLike;
  readonly clock: Clock;
  readonly serverClock: ServerClock;
  readonly wakeUps: WakeUps;
  /** The command with which scripts send hints: sharded on a Cluster. */
  readonly publishCommand: "PUBLISH" | "SPUBLISH";
  readonly #wire: Wire;
  #durableWire: DurableWire | undefined;

  private constructor(redis: RedisLike, clock: Clock) {
    this.redis = redis;
    this.clock = clock;
    this.serverClock = new ServerClock(clock, (slotKey) => this.#readTimeUs(slotKey));
    this.wakeUps = new WakeUps(redis, clock);
    this.publishCommand = isCluster(redis) ? "SPUBLISH" : "PUBLISH";
    this.#wire = new Wire(redis);
    redis.on("ready", () => this.serverClock.forget());
  }

  /**
   * The connection of a client; the same object for the same client and clock.
   * @throws TypeError when the client is none, or has a `keyPrefix`
   */
  static of(redis: RedisLike, clock: Clock = systemClock): Connection {
    checkClient(redis);
    let ofClient = connections.get(redis);
    if (ofClient === undefined) {
      ofClient = new Map();
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
   * Runs a script.
   * @returns the decoded reply
   * @throws RedisUnavailableError, RedisRefusedError, TooLateError (nothing was done), OutcomeUnknownError, NotReplicatedError,
   *   UnexpectedReplyError
   */
  async run<const Source extends LuaSource, Result>(
    script: Script<Source, Result>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    options: CallOptions,
  ): Promise<Result> {
    const giveUpAtMs = this.clock.monotonicMs() + options.timeoutMs;
    const { source } = script;
    const keyList = source.keys.map((name) => (keys as Readonly<Record<string, string>>)[name] as string);
    const slotKey = keyList[0] as string;
    const node = this.#nodeOf(slotKey);
    for (let attempt = 1; ; attempt += 1) {
      await this.#ready(giveUpAtMs, options.operation);
      const notAfterUs = script.mutating ? await this.#boundUs(node, slotKey, giveUpAtMs, options) : 0;
      const call = { source, keys: keyList, args: argumentList(source, args, notAfterUs), binary: script.binary };
      const reply = await this.#send(call, script.mutating, giveUpAtMs, options);
      const lateUs = script.mutating ? tooLateUs(reply) : undefined;
      if (lateUs === undefined) return script.decode(reply, options.operation);
      this.serverClock.observe(node, lateUs);
      // Nothing was done, and nothing can be done by a repeat of that request. Once more, since the server's clock may have stepped.
      if (attempt === 2 || this.clock.monotonicMs() >= giveUpAtMs) throw new TooLateError(options.operation, options.timeoutMs);
    }
  }

  /** Runs a command that changes nothing, on any node or on the one that serves the first key. */
  async read(command: string, args: CommandArgument[], options: CallOptions): Promise<unknown> {
    const giveUpAtMs = this.clock.monotonicMs() + options.timeoutMs;
    await this.#ready(giveUpAtMs, options.operation);
    return this.#bounded(this.redis.call(command, args), null, giveUpAtMs, options);
  }

  /** Closes what this connection opened; the caller's client stays as it is. */
  async close(): Promise<void> {
    this.#durableWire?.close();
    this.#durableWire = undefined;
    await this.wakeUps.close();
  }

  async #boundUs(node: string, slotKey: string, giveUpAtMs: number, options: CallOptions): Promise<number> {
    const leftUs = (): number => Math.floor((giveUpAtMs - this.clock.monotonicMs()) * 1_000);
    const estimateUs = this.serverClock.estimateUs(node, slotKey);
    if (estimateUs !== undefined) return estimateUs + leftUs();
    const fetchedUs = await this.#bounded(this.serverClock.fetchUs(node, slotKey), null, giveUpAtMs, options);
    return fetchedUs + leftUs();
  }

  async #send(call: WireCall, mutating: boolean, giveUpAtMs: number, options: CallOptions): Promise<unknown> {
    const operationId = mutating ? (options.operationId ?? "none") : null;
    const { durability } = options;
    if (!mutating || durability === undefined) {
      return this.#bounded(this.#wire.send(call), operationId, giveUpAtMs, options);
    }
    this.#durableWire ??= new DurableWire(this.redis);
    const sent = this.#durableWire.send(call, durability);
    const { reply, replicas } = await this.#bounded(sent, operationId, giveUpAtMs + durability.timeoutMs, options);
    if (tooLateUs(reply) === undefined && replicas < durability.replicas) {
      const { operation } = options;
      throw new NotReplicatedError(operation, operationId ?? "none", durability.replicas, replicas, durability.timeoutMs);
    }
    return reply;
  }

  async #ready(giveUpAtMs: number, operation: string): Promise<void> {
    if (this.redis.status === "ready") return;
    await whenReady(this.redis, this.clock, giveUpAtMs, operation);
  }

  /** Waits for an answer no longer than the caller does. A later answer is ignored: the bound in server time voids a late execution. */
  #bounded<Value>(
    sent: Promise<Value>,
    operationId: string | null,
    giveUpAtMs: number,
    { operation, timeoutMs }: CallOptions,
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      const startMs = giveUpAtMs - timeoutMs;
      const deadline = deadlineListOf(this.clock, timeoutMs).add(() => {
        const why = `no answer within ${timeoutMs} ms`;
        reject(
          operationId === null
            ? new RedisUnavailableError(operation, "UNREACHABLE", `${why}; check the server's load and the network`)
            : new OutcomeUnknownError(operation, operationId, { why }),
        );
      }, startMs);
      sent.then(
        (value) => {
          deadline.cancel();
          resolve(value);
        },
        (error: unknown) => {
          deadline.cancel();
          reject(refusal(operation, operationId, error));
        },
      );
    });
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
    const { slots } = this.redis as { slots?: readonly (readonly string[] | undefined)[] };
    return slots?.[slot]?.[0] ?? `slot ${slot}`;
  }
}

const connections = new WeakMap<RedisLike, Map<Clock, Connection>>();

function argumentList(source: LuaSource, args: object, notAfterUs: number): CommandArgument[] {
  const named = args as Readonly<Record<string, CommandArgument | readonly CommandArgument[]>>;
  const list: CommandArgument[] = [];
  for (const name of source.args) list.push(name === "notAfterUs" ? notAfterUs : (named[name] as CommandArgument));
  if (source.rest !== null) for (const item of named[source.rest] as readonly CommandArgument[]) list.push(item);
  return list;
}
