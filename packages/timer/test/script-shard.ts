/** One shard as its scripts see it: calls each by the names of its arguments, on a real server. */
import { RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { claimScript } from "../src/claim.ts";
import type { ClaimReply } from "../src/claim.ts";
import { shardKeys } from "../src/keys.ts";
import type { ShardKeys } from "../src/keys.ts";
import * as lua from "../src/scripts.generated.ts";
import { Desk, freshName } from "./client.ts";

interface Source {
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly source: string;
}

/** A server time that is far away. */
export const far = "9000000000000000";

/** A shard, and the server on which it is founded. */
export class ScriptShard {
  server!: RedisServer;
  redis!: Redis;
  keys!: ShardKeys;
  layout = "";
  #sequence = 0;

  /** Goes over to a shard that nobody has used. */
  async renew(): Promise<void> {
    this.keys = shardKeys("holdfast", freshName(), 0);
    await this.found();
  }

  /** Founds it where it is. */
  async found(): Promise<void> {
    const reply = await this.call(lua.open, { shards: 1, boundUs: 2_000_000, keepUs: 60_000_000, found: "1" });
    this.layout = reply[2] as string;
  }

  /** Calls a script with arguments by name; bounds are far away unless given. */
  async call(
    script: Source,
    args: Readonly<Record<string, string | number>>,
    rest: readonly (string | number)[] = [],
  ): Promise<unknown[]> {
    const common = {
      layout: this.layout,
      notAfterUs: far,
      sentUs: 1,
      knownUs: 0,
      publish: "PUBLISH",
      unused: "0",
      known: this.layout,
      passedUs: 0,
    };
    const named: Readonly<Record<string, string | number>> = { ...common, ...args };
    const own: Readonly<Record<string, string>> = { ...this.keys, index: this.keys.due, bodies: this.keys.data };
    const list = [
      ...script.keys.map((key) => own[key] as string),
      ...script.args.map((name) => named[name] as string),
      ...rest,
    ];
    return (await this.redis.call("eval", [script.source, script.keys.length, ...list])) as unknown[];
  }

  /** Sets timers that are due. */
  async set(...ids: string[]): Promise<void> {
    await this.schedule("k@1000", ...ids);
  }

  /** Sets timers with one `when`, each by an operation of its own, its id as payload. */
  schedule(when: string, ...ids: string[]): Promise<unknown[]> {
    const items = ids.length > 0 ? [when, ids.length, ...ids.flatMap((id) => [id, `op-${id} "${id}"`])] : [];
    return this.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, items);
  }

  /** Claims, with acknowledgements as the script takes them; the decoded answer. */
  async claim(
    limit: number,
    sequence: number,
    acks: readonly (string | number)[] = [],
    ackCount = 0,
  ): Promise<ClaimReply> {
    const request = { lane: "w.0", sequence, limit, leaseUs: 50_000_000, ackCount };
    const claimed = claimScript.decode(await this.call(lua.claim, request, acks), "claim");
    if (claimed === undefined || claimed === "outrun") throw new Error(`not claimed: ${claimed ?? "layout"}`);
    return claimed;
  }

  /** Claims as the lane's next request. */
  claimNext(limit: number, acks?: readonly (string | number)[], ackCount: number = acks ? 1 : 0): Promise<ClaimReply> {
    this.#sequence += 1;
    return this.claim(limit, this.#sequence, acks, ackCount);
  }

  /** Claims; the lease as the settling scripts take it. */
  async lease(limit = 10, sequence = 1): Promise<{ token: string; leaseEnd: string; timers: readonly string[] }> {
    const { token, leaseEnd, timers } = await this.claim(limit, sequence);
    // The decoded number has lost nothing, since it is below 2^53.
    return { token: String(token), leaseEnd, timers };
  }

  /** Ends all leases, as time does. */
  async lapse(): Promise<void> {
    for (const id of await this.redis.zrange(this.keys.due, "0", "-1"))
      await this.redis.call("zadd", [this.keys.due, "1000001", id]);
    await this.redis.hset(this.keys.state, "endsUs", "1000001");
  }
}

/** The shard of the tests of a file: on a server of their own, and in each test another one. */
export function shardOfEachTest(): ScriptShard {
  const shard = new ScriptShard();
  const desk = new Desk();
  beforeAll(async () => {
    shard.server = await RedisServer.start();
    shard.redis = desk.redis(shard.server.url);
  });
  afterAll(async () => {
    await desk[Symbol.asyncDispose]();
    await shard.server.stop();
  });
  beforeEach(() => shard.renew());
  return shard;
}
