/**
 * How a primitive talks to Redis: runs typed scripts with a bound in server time (K1) and a local timeout, and tells done, refused and
 * unknown apart. One connection object serves all primitives on a client and holds what they share.
 *
 * The client's offline queue is never used: a command that waits there would be sent after its caller has given up. A call waits for
 * the client to be ready itself, and has then provably had no effect when it gives up.
 */
import { ClientState } from "./client-state.ts";
import { sleep, systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { deadlineListOf } from "./deadline-list.ts";
import type { DeadlineEntry } from "./deadline-list.ts";
import { DurableWire, slotOwner } from "./durable-wire.ts";
import type { Durability, DurableCaller, DurableReply } from "./durable-wire.ts";
import {
  HoldfastError,
  NotReplicatedError,
  OutcomeUnknownError,
  RedisUnavailableError,
  TooLateError,
} from "./errors.ts";
import { checkClient, isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike } from "./redis-like.ts";
import { refusal } from "./refusal.ts";
import type { LuaSource, Script, ScriptArgs, ScriptKeys } from "./script.ts";
import { ServerClock } from "./server-clock.ts";
import { slotOf } from "./slot.ts";
import { WakeUps } from "./wake-ups.ts";
import { notSent, Wire } from "./wire.ts";

/** What accompanies a call of a script. */
export interface CallOptions {
  /** For messages: what is done to which resource, `timer.schedule order-1`. */
  readonly operation: string;
  /** Names the call when its outcome is unknown; required in effect for scripts that change something. */
  readonly operationId?: string;
  /** The longest wait in milliseconds, the time for becoming ready included. */
  readonly timeoutMs: number;
  /** When the caller asked, in monotonic milliseconds; default now. `sentUs` is made from it, so a call made again keeps its place. */
  readonly askedAtMs?: number | undefined;
  /** Replicas that must confirm the write before the call counts as done. */
  readonly durability?: Durability | undefined;
}

const tooLateTag = "too-late";
const lostMeanwhile = "the connection was lost meanwhile";

/**
 * A wake-up that is late by more than this means that the process stood still. The answer may be in the socket then, so it gets one turn
 * of the event loop to arrive.
 */
const stoodStillMs = 20;

/** The server time of a `too-late` reply in either form, or undefined for any other reply. */
function tooLateUs(reply: unknown): number | undefined {
  if (Array.isArray(reply)) {
    const [tag, time] = reply as unknown[];
    return reply.length === 2 && asText(tag) === tooLateTag ? Number(asText(time)) : undefined;
  }
  const text = asText(reply);
  return text?.startsWith(`${tooLateTag} `) === true ? Number(text.slice(tooLateTag.length + 1)) : undefined;
}

/** A reply that may be the tag with its time, as text; longer ones are something else. */
function asText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return Buffer.isBuffer(value) && value.length < 64 ? value.toString() : undefined;
}

/** A call on its way. */
interface Attempt {
  readonly source: LuaSource;
  readonly slotKey: string;
  readonly tail: readonly CommandArgument[];
  readonly binary: boolean;
  /** What the caller repeats the call with; null for a script that changes nothing. */
  readonly operationId: string | null;
  readonly giveUpAtMs: number;
  readonly options: CallOptions;
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
  readonly #wire: Wire;
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
    this.#wire = new Wire(redis, state);
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
    const { source, mutating, binary } = script;
    const { operation, timeoutMs } = options;
    const startMs = this.clock.monotonicMs();
    const askedAtMs = options.askedAtMs ?? startMs;
    const giveUpAtMs = startMs + timeoutMs;
    const operationId = mutating ? (options.operationId ?? "none") : null;
    const slotKey = (keys as Readonly<Record<string, string>>)[source.keys[0] as string] as string;
    for (let lateReplies = 0; ;) {
      if (!this.#state.canSend) await this.#state.whenReady(this.clock, giveUpAtMs, operation);
      const node = this.#nodeOf(slotKey);
      const estimateUs = mutating ? await this.#estimateUs(node, slotKey, giveUpAtMs, options) : 0;
      const nowMs = this.clock.monotonicMs();
      const notAfterUs = estimateUs + Math.floor((giveUpAtMs - nowMs) * 1_000);
      const sentUs = estimateUs - Math.ceil((nowMs - askedAtMs) * 1_000);
      const tail = commandTail(source, keys, args, { notAfterUs, sentUs });
      const { epoch } = this.#state;
      const reply = await this.#send({ source, slotKey, tail, binary, operationId, giveUpAtMs, options });
      if (reply === notSent) continue;
      const lateUs = operationId === null ? undefined : tooLateUs(reply);
      if (lateUs === undefined) return script.decode(reply, operation);
      if (epoch !== this.#state.epoch) {
        // The client may have sent the request twice, so the first one may have been in time and its answer is lost.
        throw new OutcomeUnknownError(operation, operationId ?? "none", { why: lostMeanwhile });
      }
      this.serverClock.observe(node, lateUs, true);
      lateReplies += 1;
      // Nothing was done, and nothing can be done by a repeat of that request. Once more, since the server's clock may have stepped.
      if (lateReplies === 2 || this.clock.monotonicMs() >= giveUpAtMs) throw new TooLateError(operation, timeoutMs);
    }
  }

  /** Takes over a server time, in microseconds, that has just arrived in the reply of a script on this key. */
  observeTime(slotKey: string, serverUs: number): void {
    this.serverClock.observe(this.#nodeOf(slotKey), serverUs);
  }

  /** Runs a command that changes nothing, on any node or on the one that serves the first key. */
  async read(command: string, args: CommandArgument[], options: CallOptions): Promise<unknown> {
    const giveUpAtMs = this.clock.monotonicMs() + options.timeoutMs;
    if (!this.#state.canSend) await this.#state.whenReady(this.clock, giveUpAtMs, options.operation);
    return this.#bounded(() => this.redis.call(command, args), null, options.timeoutMs, giveUpAtMs, options.operation);
  }

  /**
   * Closes what this connection opened; the caller's client stays as it is. For whoever owns the client: its primitives share the
   * connection, and each of them only ends its own listening.
   */
  async close(): Promise<void> {
    this.#durableWire?.close();
    await this.wakeUps.close();
  }

  async #estimateUs(node: string, slotKey: string, giveUpAtMs: number, options: CallOptions): Promise<number> {
    return (
      this.serverClock.estimateUs(node, slotKey) ??
      this.#bounded(
        () => this.serverClock.fetchUs(node, slotKey),
        null,
        options.timeoutMs,
        giveUpAtMs,
        options.operation,
      )
    );
  }

  /** Resolves to the raw reply, or to `notSent`. */
  #send(attempt: Attempt): Promise<unknown> {
    const { source, tail, binary, operationId, giveUpAtMs, options } = attempt;
    const { operation, timeoutMs, durability } = options;
    if (operationId !== null && durability !== undefined) return this.#sendDurably(attempt, durability);
    const { epoch } = this.#state;
    return new Promise((resolve, reject) => {
      const deadline = this.#deadline(reject, operationId, timeoutMs, giveUpAtMs, operation);
      this.#wire.send({
        source,
        tail,
        binary,
        onReply: (reply) => {
          deadline.cancel();
          resolve(reply);
        },
        onError: (error) => {
          deadline.cancel();
          reject(refusal(operation, operationId, error, epoch !== this.#state.epoch));
        },
      });
    });
  }

  async #sendDurably(attempt: Attempt, durability: Durability): Promise<unknown> {
    const { source, slotKey, tail, binary, operationId, giveUpAtMs, options } = attempt;
    const { operation } = options;
    const wire = (this.#durableWire ??= new DurableWire(this.redis));
    const caller: DurableCaller = {
      ready: (state) => state.whenReady(this.clock, giveUpAtMs, operation),
      pause: async (delayMs) => {
        if (this.clock.monotonicMs() + delayMs >= giveUpAtMs) return false;
        await sleep(this.clock, delayMs);
        return true;
      },
    };
    const { reply, replicas, resent } = await this.#bounded<DurableReply>(
      () => wire.send({ source, slotKey, tail, binary, durability }, caller),
      operationId,
      options.timeoutMs + durability.timeoutMs,
      giveUpAtMs + durability.timeoutMs,
      operation,
    );
    if (reply === notSent) return reply;
    const late = tooLateUs(reply) !== undefined;
    if (late && resent) throw new OutcomeUnknownError(operation, operationId ?? "none", { why: lostMeanwhile });
    if (!late && replicas < durability.replicas) {
      throw new NotReplicatedError(
        operation,
        operationId ?? "none",
        durability.replicas,
        replicas,
        durability.timeoutMs,
      );
    }
    return reply;
  }

  /** Waits for an answer no longer than the caller does. A later answer is ignored: the bound in server time voids a late execution. */
  #bounded<Value>(
    ask: () => Promise<Value>,
    operationId: string | null,
    timeoutMs: number,
    giveUpAtMs: number,
    operation: string,
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      const deadline = this.#deadline(reject, operationId, timeoutMs, giveUpAtMs, operation);
      // Async, so that a client that throws at once is heard like one that rejects.
      const answer = (async () => ask())();
      answer.then(
        (value) => {
          deadline.cancel();
          resolve(value);
        },
        (error: unknown) => {
          deadline.cancel();
          reject(error instanceof HoldfastError ? error : refusal(operation, operationId, error));
        },
      );
    });
  }

  #deadline(
    reject: (error: Error) => void,
    operationId: string | null,
    timeoutMs: number,
    giveUpAtMs: number,
    operation: string,
  ): DeadlineEntry {
    const giveUp = (): void => {
      const why = `no answer within ${timeoutMs} ms`;
      reject(
        operationId === null
          ? new RedisUnavailableError(operation, "UNREACHABLE", `${why}; check the server's load and the network`)
          : new OutcomeUnknownError(operation, operationId, { why }),
      );
    };
    const onDeadline = (): void => {
      if (this.clock.monotonicMs() - giveUpAtMs < stoodStillMs) giveUp();
      else this.clock.setTimer(giveUp, 0, true);
    };
    return deadlineListOf(this.clock, timeoutMs).add(onDeadline, giveUpAtMs - timeoutMs);
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

/** The arguments that the connection fills in: the bound (K1), and a server time no later than the moment the caller asked. */
interface ServerTimes {
  readonly notAfterUs: number;
  readonly sentUs: number;
}

/** The number of keys, keys and arguments in the order of the script's header. */
function commandTail(source: LuaSource, keys: object, args: object, times: ServerTimes): CommandArgument[] {
  const namedKeys = keys as Readonly<Record<string, string>>;
  const named = args as Readonly<Record<string, CommandArgument | readonly CommandArgument[]>>;
  const tail: CommandArgument[] = [source.keys.length];
  for (const name of source.keys) tail.push(namedKeys[name] as string);
  for (const name of source.args) {
    if (name === "notAfterUs" || name === "sentUs") tail.push(times[name]);
    else tail.push(named[name] as CommandArgument);
  }
  if (source.rest !== null) for (const item of named[source.rest] as readonly CommandArgument[]) tail.push(item);
  return tail;
}
