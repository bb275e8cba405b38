/** One shard as its scripts see it: calls each by the names of its arguments, on a real server. */
import type { Redis } from "ioredis";
import { claimScript } from "../src/claim.ts";
import { shardKeys } from "../src/keys.ts";
import type { ShardKeys } from "../src/keys.ts";
import * as lua from "../src/scripts.generated.ts";

interface Source {
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly source: string;
}

/** A server time that is far away. */
export const far = "9000000000000000";

/** A founded shard. */
export class ScriptShard {
  readonly #redis: Redis;
  keys: ShardKeys;
  layout = "";

  private constructor(redis: Redis, keys: ShardKeys) {
    this.#redis = redis;
    this.keys = keys;
  }

  /** Founds the shard of a new name. */
  static async open(redis: Redis, name: string): Promise<ScriptShard> {
    const shard = new ScriptShard(redis, shardKeys("holdfast", name, 0));
    const reply = await shard.call(lua.open, { shards: 1, boundUs: 2_000_000, keepUs: 60_000_000, found: "1" });
    shard.layout = reply[2] as string;
    return shard;
  }

  /** Calls a script with arguments by name; bounds are far away unless given. */
  async call(
    script: Source,
    args: Readonly<Record<string, string | number>>,
    rest: readonly (string | number)[] = [],
  ): Promise<unknown[]> {
    const common = { layout: this.layout, notAfterUs: far, sentUs: 1, knownUs: 0, publish: "PUBLISH" };
    const named: Readonly<Record<string, string | number>> = { ...common, ...args };
    const own: Readonly<Record<string, string>> = { ...this.keys, index: this.keys.due, bodies: this.keys.data };
    const list = [
      ...script.keys.map((key) => own[key] as string),
      ...script.args.map((name) => named[name] as string),
      ...rest,
    ];
    return (await this.#redis.call("eval", [script.source, script.keys.length, ...list])) as unknown[];
  }

  /** Sets timers that are due. */
  async set(...ids: string[]): Promise<void> {
    const items = ["k@1000", ids.length, ...ids.flatMap((id) => [id, `op-${id} "${id}"`])];
    await this.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, items);
  }

  /** Claims. */
  async lease(limit = 10, sequence = 1): Promise<{ token: string; leaseEnd: string; timers: readonly string[] }> {
    const reply: unknown = await this.call(lua.claim, {
      lane: "w.0",
      sequence,
      limit,
      leaseUs: 50_000_000,
      ackCount: 0,
    });
    const claimed = claimScript.decode(reply, "claim");
    if (claimed === undefined || claimed === "outrun") throw new Error(`not claimed: ${claimed ?? "layout"}`);
    // As the settling scripts take it: the decoded number has lost nothing, since it is below 2^53.
    return { token: String(claimed.token), leaseEnd: claimed.leaseEnd, timers: claimed.timers };
  }

  /** Ends all leases, as time does. */
  async lapse(): Promise<void> {
    for (const id of await this.#redis.zrange(this.keys.due, "0", "-1"))
      await this.#redis.call("zadd", [this.keys.due, "1000001", id]);
  }
}
