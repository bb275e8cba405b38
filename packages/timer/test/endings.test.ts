/** How a firing that does not end well ends: what follows it (T4), what a cancel has decided (T5), and with memory short (K3). */
import { describe, expect, it } from "vitest";
import * as lua from "../src/scripts.generated.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();
const reap = { limit: 10, attemptsMax: 3, leaseUs: 1_000_000, error: "gone" };

interface Lease {
  readonly token: string;
  readonly leaseEnd: string;
}

function settle({ token, leaseEnd }: Lease, verb: string, detail: string | number = ""): Promise<unknown[]> {
  return shard.call(lua.settle, {}, ["a", leaseEnd, token, `${verb}-1`, verb, 1, detail]);
}

/** A firing, and the next generation behind it. */
async function followed(): Promise<Lease> {
  await shard.set("a");
  const lease = await shard.lease();
  await shard.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, ["k@9000000000", 1, "a", "next {}"]);
  return lease;
}

/** A firing that was cancelled, and a time after that. */
async function cancelled(): Promise<Lease & { readonly sentUs: string }> {
  await shard.set("a");
  const lease = await shard.lease();
  const [, nowText, words] = await shard.call(lua.cancel, {}, ["a", "c"]);
  expect(words).toEqual(["firing"]);
  return { ...lease, sentUs: nowText as string };
}

/** The next generation has taken the place of the firing. */
async function expectNext(): Promise<void> {
  expect(await shard.redis.zscore(shard.keys.due, "a")).toBe("9000000000000");
  expect(await shard.redis.hget(shard.keys.data, "a")).toMatch(/^f[0-9a-z]{10}-?\d+ next \{\}$/u);
  expect(await shard.redis.exists(shard.keys.later, shard.keys.notes)).toBe(0);
}

describe("T4 the next generation takes the place of a firing", () => {
  it("T4 that has died", async () => {
    expect((await settle(await followed(), "dead", "why"))[2]).toEqual(["dead"]);
    await expectNext();
    expect(await shard.redis.zcard(shard.keys.dead)).toBe(1);
  });

  it("T4 whose process has died for the last time", async () => {
    await followed();
    await shard.redis.hset(shard.keys.notes, "a", "0003--");
    await shard.lapse();
    expect((await shard.call(lua.reap, reap)).slice(2, 4)).toEqual([1, ["a"]]);
    await expectNext();
  });

  it("T4 T5 that was cancelled before it was scheduled again, and whose process has died", async () => {
    const { sentUs } = await cancelled();
    const after = { pendingMax: 0, delayMaxMs: 1e12, sentUs };
    const reply = await shard.call(lua.schedule, after, ["k@9000000000", 1, "a", "next {}"]);
    expect((reply[2] as [string])[0]).toMatch(/^f/u);
    await shard.lapse();
    expect((await shard.call(lua.reap, reap)).slice(2, 4)).toEqual([1, []]);
    await expectNext();
  });
});

describe("T5 a firing that was cancelled", () => {
  for (const verb of ["release", "retry", "dead"] as const) {
    it(`T5 ends for good, whatever its worker says: ${verb}`, async () => {
      const lease = await cancelled();
      expect((await settle(lease, verb, verb === "retry" ? 0 : ""))[2]).toEqual(["ended"]);
      const { due, data, notes, dead } = shard.keys;
      expect(await shard.redis.exists(due, data, notes, dead)).toBe(0);
    });
  }
});

describe("K3 the server is out of memory", () => {
  async function withoutMemory<Result>(work: () => Promise<Result>): Promise<Result> {
    await shard.server.call("CONFIG", "SET", "maxmemory", "1");
    try {
      return await work();
    } finally {
      await shard.server.call("CONFIG", "SET", "maxmemory", "0");
    }
  }

  it("K3 leases are extended all the same", async () => {
    await shard.set("a");
    const { leaseEnd, token } = await shard.lease();
    const extend = (): Promise<unknown[]> => shard.call(lua.extend, { leaseUs: 90_000_000 }, ["a", leaseEnd, token, 1]);
    expect((await withoutMemory(extend))[2]).toBe("r");
  });

  it("K3 those of crashed workers lapse all the same", async () => {
    await shard.set("a", "dead");
    await shard.lease();
    await shard.redis.hset(shard.keys.notes, "dead", "0003--");
    await shard.lapse();
    expect((await withoutMemory(() => shard.call(lua.reap, reap))).slice(2, 4)).toEqual([2, ["dead"]]);
  });

  it("T5 K3 a firing is cancelled all the same", async () => {
    await shard.set("a");
    await shard.lease();
    expect((await withoutMemory(() => shard.call(lua.cancel, {}, ["a", "1"])))[2]).toEqual(["firing"]);
  });
});

describe("T10 scripts are bounded", () => {
  it("T10 reap looks at no more than its limit", async () => {
    const ids = Array.from({ length: 7 }, (_, index) => `t${index}`);
    await shard.set(...ids);
    await shard.lease(7);
    await shard.lapse();
    const limited = { ...reap, limit: 3 };
    const lapsed: unknown[] = [];
    for (let round = 0; round < 4; round += 1) lapsed.push((await shard.call(lua.reap, limited))[2]);
    expect(lapsed).toEqual([3, 3, 1, 0]);
  });

  it("T10 list-dead reads no more than its limit, and pack about as many as it was asked for", async () => {
    const ids = Array.from({ length: 1_000 }, (_, index) => `t${index}`);
    await shard.schedule("k@9000000000", ...ids);
    const packed = await shard.call(lua.pack, { cursor: "0", count: 10 });
    expect((packed[2] as string[]).length / 2).toBeLessThan(100);
    for (const id of ids.slice(0, 5)) await shard.redis.zadd(shard.keys.dead, "1000", id);
    expect((await shard.call(lua.listDead, { limit: 3 }))[1]).toHaveLength(3);
  });
});

describe("T9 a redrive", () => {
  it("T9 K1 keeps what the timer's last end has said about the operation that set it", async () => {
    await shard.set("a");
    const lease = await shard.lease();
    const head = (await shard.redis.hget(shard.keys.data, "a"))?.split(" ")[0];
    expect((await settle(lease, "dead", "why"))[2]).toEqual(["dead"]);
    expect((await shard.call(lua.redrive, { id: "a", operation: "again" }))[2]).toEqual(["redriven"]);
    const again = await shard.lease(1, 2);
    await shard.call(lua.settle, {}, ["a", again.leaseEnd, again.token, "done-2", "done", 1, ""]);
    expect(((await shard.schedule("k+60000", "a"))[2] as [string])[0]).toBe(head);
    expect(await shard.redis.zcard(shard.keys.due)).toBe(0);
  });
});
