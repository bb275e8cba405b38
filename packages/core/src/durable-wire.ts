/**
 * Writes that count as done when replicas have confirmed them: scripts and WAIT go in one pipeline over a connection of its own, since
 * WAIT speaks of what its connection has done only, blocks it meanwhile, and on a Cluster must reach the node that took the write.
 *
 * Calls that come while a WAIT is under way go together in the next pipeline, so that slow replicas delay each call by at most two waits
 * however many there are. WAIT covers everything the master had executed before it, so a repeat that only reads its first answer is
 * confirmed no earlier than the write it repeats.
 */
import { ClientState } from "./client-state.ts";
import { masterNodes, slotOwner } from "./cluster-nodes.ts";
import { isNoScript } from "./refusal.ts";
import { isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike, SingleRedisLike } from "./redis-like.ts";
import type { LuaSource } from "./script.ts";
import { slotOf } from "./slot.ts";
import { notSent } from "./wire.ts";

/**
 * How many replicas must confirm a write, and how long to wait for them in milliseconds: less than `commandTimeoutMs`, since what is asked
 * meanwhile is sent afterwards.
 */
export interface Durability {
  readonly replicas: number;
  readonly timeoutMs: number;
}

/** A reply, or `notSent`, and the number of replicas that had the write when it came. */
export interface DurableReply {
  readonly reply: unknown;
  readonly replicas: number;
  /** Why nobody was asked to confirm it, where the server refused to. */
  readonly waitRefusal?: Error | undefined;
  /** The connection was lost meanwhile, so the client may have sent the request twice. */
  readonly resent: boolean;
}

/** One script call that waits for replicas. */
export interface DurableRequest {
  readonly source: LuaSource;
  readonly slotKey: string;
  /** What follows the program in EVALSHA: the number of keys, keys, arguments. */
  readonly tail: readonly CommandArgument[];
  readonly binary: boolean;
  readonly durability: Durability;
  /** The slot is moving to this node, which serves it only to those who say so. */
  readonly asking: boolean;
  readonly onReply: (reply: DurableReply) => void;
  /** @param resent as in a reply */
  readonly onError: (error: unknown, resent: boolean) => void;
}

type Reply = [error: Error | null, result: unknown];

const aborted: Reply = [new Error("the pipeline was aborted"), undefined];

/** A Cluster's answer that the key is, or is going, elsewhere: the script was not executed. */
const redirection = /^(MOVED|ASK) \d+ (\S+)$/u;
const redirectionsMax = 5;
/** A slot on its way between two nodes serves several keys only if it has them all: nothing was done, and it is over soon. */
const halfMoved = /^TRYAGAIN\b/u;
const tryAgainMs = 50;
const pipelineMax = 64;

/** A connection to one node and the calls that wait for it. */
class DurableConnection {
  readonly client: SingleRedisLike;
  readonly #state: ClientState;
  #waiting: DurableRequest[] = [];
  #busy = false;

  constructor(client: SingleRedisLike) {
    // Ready at the first call, never a queue of its own, and no timeout shorter than the WAIT.
    this.client = client.duplicate({
      lazyConnect: false,
      enableOfflineQueue: false,
      commandTimeout: undefined,
      socketTimeout: undefined,
      enableAutoPipelining: false,
    });
    // Each failure reaches the caller through its command.
    this.client.on("error", () => undefined);
    this.#state = ClientState.of(this.client);
  }

  add(request: DurableRequest): void {
    this.#waiting.push(request);
    if (!this.#busy && this.#waiting.length === 1) process.nextTick(() => void this.#drain());
  }

  get state(): ClientState {
    return this.#state;
  }

  async #drain(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const { durability } = this.#waiting[0] as DurableRequest;
      const alike = (request: DurableRequest): boolean =>
        request.durability.replicas === durability.replicas && request.durability.timeoutMs === durability.timeoutMs;
      const batch = this.#waiting.filter(alike).slice(0, pipelineMax);
      const taken = new Set(batch);
      this.#waiting = this.#waiting.filter((request) => !taken.has(request));
      await this.#send(batch, durability, "evalsha");
    }
    this.#busy = false;
  }

  /** Never rejects: every failure goes to the requests. */
  async #send(batch: readonly DurableRequest[], durability: Durability, program: "evalsha" | "eval"): Promise<void> {
    if (!this.#state.canSend) {
      for (const { onReply } of batch) onReply({ reply: notSent, replicas: 0, resent: false });
      return;
    }
    const commands: unknown[][] = [];
    const places: number[] = [];
    for (const { source, tail, binary, asking } of batch) {
      if (asking) commands.push(["asking"]);
      places.push(commands.length);
      const text = program === "evalsha" ? source.sha1 : source.source;
      commands.push([binary ? `${program}Buffer` : program, text, ...tail]);
    }
    commands.push(["wait", durability.replicas, durability.timeoutMs]);
    const { epoch } = this.#state;
    let replies: readonly Reply[];
    try {
      replies = (await this.client.pipeline(commands).exec()) ?? [];
    } catch (error) {
      for (const { onError } of batch) onError(error, epoch !== this.#state.epoch);
      return;
    }
    const resent = epoch !== this.#state.epoch;
    const [waitError, replicas] = replies[commands.length - 1] ?? aborted;
    const unknown: DurableRequest[] = [];
    for (const [index, request] of batch.entries()) {
      const [error, reply] = replies[places[index] as number] ?? aborted;
      if (program === "evalsha" && isNoScript(error)) unknown.push(request);
      else if (error !== null) request.onError(error, resent);
      else if (waitError === null) request.onReply({ reply, replicas: Number(replicas), resent });
      // The script was executed: that WAIT was refused, or broken off by a failover, does not undo it.
      else if (waitError.name === "ReplyError") request.onReply({ reply, replicas: 0, waitRefusal: waitError, resent });
      else request.onError(waitError, resent);
    }
    if (unknown.length > 0) await this.#send(unknown, durability, "eval");
  }
}

/** How long the caller of a durable write waits. */
export interface DurableCaller {
  /** Waits for a connection as long as the caller does; rejects then. */
  ready(state: ClientState): Promise<void>;
  /** Waits for a while; resolves to false at once when the caller does not wait for so long. */
  pause(delayMs: number): Promise<boolean>;
  /** Told when the connection was lost while the request was under way: it may have been executed, whatever follows. */
  lost(): void;
}

/** The connections for durable writes of one client. They end with the client. */
export class DurableWire {
  readonly #redis: RedisLike;
  readonly #connections = new Map<string, DurableConnection>();
  #epoch = 0;

  constructor(redis: RedisLike) {
    this.#redis = redis;
    redis.on("end", () => this.close());
  }

  /** Another number after each loss of one of the connections: a write under way then may have been sent twice. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Resolves to `notSent` when the connection for the key cannot send now, rejects with the client's error. A write that is confirmed too
   * late answers the number of replicas that had it.
   */
  async send(
    request: Omit<DurableRequest, "asking" | "onReply" | "onError">,
    caller: DurableCaller,
  ): Promise<DurableReply> {
    let { name, client } = this.#ownerOf(request.slotKey);
    let asking = false;
    for (let redirections = 0; ;) {
      const connection = this.#connectionTo(name, client);
      if (!connection.state.canSend) await caller.ready(connection.state);
      try {
        return await new Promise<DurableReply>((resolve, reject) => {
          const onError = (error: unknown, resent: boolean): void => {
            if (resent) caller.lost();
            reject(error);
          };
          connection.add({ ...request, asking, onReply: resolve, onError });
        });
      } catch (error) {
        const message = error instanceof Error ? error.message : "";
        if (halfMoved.test(message) && (await caller.pause(tryAgainMs))) continue;
        const moved = redirection.exec(message);
        if (moved === null || !isCluster(this.#redis) || redirections === redirectionsMax) throw error;
        redirections += 1;
        const [, kind, target = ""] = moved;
        asking = kind === "ASK";
        // The client follows the redirection of a read and then knows the way and the node.
        await this.#redis.call("eval", ["return 1", 1, request.slotKey]);
        const asked = asking ? masterNodes(this.#redis).get(target) : undefined;
        ({ name, client } = asked === undefined ? this.#ownerOf(request.slotKey) : { name: target, client: asked });
      }
    }
  }

  /** Disconnects. */
  close(): void {
    for (const { client } of this.#connections.values()) client.disconnect();
    this.#connections.clear();
  }

  #connectionTo(name: string, client: SingleRedisLike): DurableConnection {
    let connection = this.#connections.get(name);
    if (connection === undefined || connection.client.status === "end") {
      connection?.client.disconnect();
      connection = new DurableConnection(client);
      connection.client.on("close", () => {
        this.#epoch += 1;
      });
      this.#connections.set(name, connection);
    }
    return connection;
  }

  #ownerOf(key: string): { name: string; client: SingleRedisLike } {
    const redis = this.#redis;
    if (!isCluster(redis)) return { name: "", client: redis };
    const masters = masterNodes(redis);
    for (const [name, { client }] of this.#connections) {
      if (masters.has(name)) continue;
      client.disconnect();
      this.#connections.delete(name);
    }
    const name = slotOwner(redis, slotOf(key));
    const client = name === undefined ? undefined : masters.get(name);
    if (name === undefined || client === undefined) {
      throw new Error("Failed to refresh slots cache: no master is known for the key");
    }
    return { name, client };
  }
}
