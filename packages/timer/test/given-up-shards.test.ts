/** T11: what a failover brings back in a shard that a move gave up, and what has become of it elsewhere by then. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RetryInError } from "../src/index.ts";
import type { DurableTimer } from "../src/index.ts";
import { shardKeys, shardOf } from "../src/keys.ts";
import { Catcher, Desk, freshName, Gate } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** The shard that is given up, and an id that belongs to it and stays there whatever number follows. */
const givenUp = 2;
const id = Array.from({ length: 100 }, (_, n) => `x${n}`).find(
  (one) => shardOf(one, 3) === givenUp && shardOf(one, 5) === givenUp,
) as string;

/** A timer in any number of shards, and a failover that takes back all that happens in the third shard from now on. */
class Scene {
  readonly admin: Redis;
  readonly name = freshName();
  readonly #desk: Desk;
  readonly #keys: readonly string[];
  readonly #state: string;
  #kept: (Buffer | null)[] = [];

  constructor(desk: Desk) {
    const { wake: _, ...parts } = shardKeys("holdfast", this.name, givenUp);
    this.admin = desk.redis(server.url);
    this.#desk = desk;
    this.#keys = Object.values(parts);
    this.#state = parts.state;
  }

  ofShards(shards: number): DurableTimer<{ n: number }> {
    return this.#desk.timer(server.url, this.name, { shards });
  }

  async keep(): Promise<void> {
    this.#kept = await Promise.all(this.#keys.map((key) => this.admin.dumpBuffer(key)));
  }

  /** @param isDrained whether the move that gives the shard up had begun there */
  async takeBack(isDrained: boolean): Promise<void> {
    for (const [index, key] of this.#keys.entries()) {
      const value = this.#kept[index];
      await this.admin.del(key);
      if (Buffer.isBuffer(value)) await this.admin.restore(key, 0, value);
    }
    if (isDrained) await this.admin.hset(this.#state, "moving", "1");
  }

  leased(): Promise<(string | null)[]> {
    const states = [0, 1, 2, 3, 4].map((shard) => shardKeys("holdfast", this.name, shard).state);
    return Promise.all(states.map((state) => this.admin.hget(state, "leased")));
  }
}

describe.each([false, true])("T11 a failover takes back that a shard was given up, drained: %s", (isDrained) => {
  const stories = [
    ["T11 T2 what was rescheduled while it fired follows", { n: 2 }],
    ["T11 T6 attempts that have begun since count, and when the next one is due", undefined],
  ] as const;
  it.each(stories)("%s", async (_, next) => {
    await using desk = new Desk();
    const scene = new Scene(desk);
    await scene.ofShards(3).schedule({ id, afterMs: 60_000, payload: { n: 1 } });
    await scene.keep();
    const one = scene.ofShards(1);
    await one.migrateShards();
    await scene.takeBack(isDrained);
    const worker = one.worker(async () => {
      if (next !== undefined) await one.schedule({ id, afterMs: 120_000, payload: next, ifExists: "replace" });
      throw new RetryInError(90_000);
    });
    await worker.start();
    await one.fireNow(id);
    await pollUntil("it has failed", () => worker.counts().retried === 1);
    await worker.stop({ graceMs: 1_000 });
    const before = await one.get(id);
    expect(before?.attempts).toBe(1);
    expect(before?.next === null).toBe(next === undefined);
    await scene.ofShards(3).migrateShards();
    expect(await scene.ofShards(3).get(id)).toEqual(before);
  });

  it("T11 T4 K5 generations rise, also from a shard whose clock was ahead", async () => {
    await using desk = new Desk();
    const scene = new Scene(desk);
    const set = { id, afterMs: 60_000, payload: { n: 0 }, ifExists: "replace" } as const;
    await scene.ofShards(3).schedule(set);
    await scene.keep();
    await scene.ofShards(1).migrateShards();
    await scene.takeBack(isDrained);
    const aheadUs = String((Date.now() + 3_600_000) * 1_000);
    await scene.admin.hset(shardKeys("holdfast", scene.name, 0).state, "floor", aheadUs);
    const { generation } = await scene.ofShards(1).schedule(set);
    const three = scene.ofShards(3);
    await three.migrateShards();
    expect((await three.schedule(set)).generation).toBeGreaterThan(generation);
  });

  it("T11 T6 an id's dead letter is the one of its last death", async () => {
    await using desk = new Desk();
    const scene = new Scene(desk);
    const die = async (timer: DurableTimer<{ n: number }>, n: number): Promise<void> => {
      await timer.schedule({ id, afterMs: 0, payload: { n } });
      const worker = timer.worker({ attemptsMax: 1 }, () => {
        throw new Error("never");
      });
      await worker.start();
      await pollUntil("it is dead", () => worker.counts().dead === 1);
      await worker.stop({ graceMs: 1_000 });
    };
    await die(scene.ofShards(3), 1);
    await scene.keep();
    await scene.ofShards(1).migrateShards();
    await scene.takeBack(isDrained);
    await die(scene.ofShards(1), 2);
    await scene.ofShards(3).migrateShards();
    expect(await scene.ofShards(3).dead.list()).toMatchObject([{ id, payload: { n: 2 } }]);
  });

  it("T11 K1 the operation that set what has ended last is remembered, and the one before it", async () => {
    await using desk = new Desk();
    const scene = new Scene(desk);
    const run = async (shards: number, operationId: string): Promise<unknown> => {
      const timer = scene.ofShards(shards);
      const answer = await timer.schedule({ id, afterMs: 0, payload: { n: 0 }, operationId });
      const catcher = new Catcher();
      const worker = timer.worker(catcher.handle);
      await worker.start();
      await catcher.caught(1);
      await worker.idle();
      await worker.stop({ graceMs: 1_000 });
      return answer;
    };
    const first = await run(3, "first");
    await scene.keep();
    await scene.ofShards(1).migrateShards();
    await scene.takeBack(isDrained);
    const second = await run(1, "second");
    const three = scene.ofShards(3);
    await three.migrateShards();
    const repeat = (operationId: string): Promise<unknown> =>
      three.schedule({ id, afterMs: 0, payload: { n: 0 }, operationId });
    expect(await repeat("second")).toEqual(second);
    expect(await repeat("first")).toEqual(first);
  });

  for (const to of [3, 4, 5]) {
    it(`T11 T3 leases that it brings back are counted until they have ended, in ${to} shards`, async () => {
      await using desk = new Desk();
      const scene = new Scene(desk);
      const ids = Array.from({ length: 60 }, (_, n) => `x${n}`).filter((one) => shardOf(one, 3) === givenUp);
      const three = scene.ofShards(3);
      await three.scheduleMany(ids.map((one) => ({ id: one, afterMs: 0, payload: { n: 0 } })));
      const gate = new Gate();
      const holder = three.worker({ leaseMs: 1_000 }, () => gate.opened);
      await holder.start();
      await pollUntil("all run", () => holder.counts().running === ids.length);
      await scene.keep();
      gate.open();
      await holder.idle();
      await holder.stop({ graceMs: 1_000 });
      await scene.ofShards(1).migrateShards();
      await scene.takeBack(isDrained);
      const last = scene.ofShards(to);
      await last.migrateShards();
      expect(await last.stats()).toMatchObject({ pending: 0, leased: ids.length });
      const catcher = new Catcher();
      const worker = last.worker({ leaseMs: 1_000, pollMs: 50 }, catcher.handle);
      await worker.start();
      await catcher.caught(ids.length);
      await worker.idle();
      await worker.stop({ graceMs: 1_000 });
      expect((await scene.leased()).slice(0, to)).toEqual(Array.from({ length: to }, () => "0"));
    });
  }
});
