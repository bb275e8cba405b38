/** QuorumLock on three real servers: what it takes, majorities, and what each node says. */
import { pollUntil } from "@holdfast/testkit";
import { Redis } from "ioredis";
import Redlock from "redlock";
import { describe, expect, it } from "vitest";
import { fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { LockTimeoutError } from "../src/index.ts";
import { QuorumLock, QuorumRefusedError } from "../src/redlock/index.ts";
import { quorumConfirm } from "../src/scripts.generated.ts";
import { useQuorum } from "./quorum-fixture.ts";

const quorum = useQuorum();

describe("construction", () => {
  it("refuses an even number of nodes, too few, and one that stands twice", () => {
    const [a, b, c] = Array.from({ length: 3 }, () => new Redis({ lazyConnect: true })) as [Redis, Redis, Redis];
    const d = new Redis({ lazyConnect: true });
    for (const clients of [[], [a], [a, b], [a, b, c, d], [a, b, b]])
      expect(() => new QuorumLock(clients)).toThrow(RangeError);
    expect(() => new QuorumLock([a, b, c])).not.toThrow();
    expect(() => new QuorumLock("abc" as unknown as Redis[])).toThrow(TypeError);
    expect(() => new QuorumLock([a, b, c], { clockSkewMaxMs: 0 })).toThrow(/clockSkewMaxMs must be/);
    expect(() => new QuorumLock([a, b, c], { nodeTimeoutMs: 1 })).toThrow(/nodeTimeoutMs must be/);
    expect(() => new QuorumLock([a, b, c], { ttlMs: 10 })).toThrow(/ttlMs must be/);
    expect(() => new QuorumLock([a, b, c], { retryEveryMs: 0 })).toThrow(/retryEveryMs must be/);
  });

  it.each([
    ["", {}, /name must be a string of 1 to 256 bytes, got 0/],
    ["\uD800", {}, /well-formed/],
    [undefined, {}, /name must be/],
    ["a", { waitMs: -1 }, /waitMs must be/],
    ["a", { waitMs: Infinity }, /waitMs must be/],
    ["a", { ttlMs: 49 }, /ttlMs must be/],
    ["a", { ttlMs: null }, /ttlMs must be/],
    ["a", { signal: {} }, /signal must be an AbortSignal/],
    ["a", { operationId: "op" }, /operationId must not be given to a QuorumLock/],
    ["a", [], /options must be an object/],
  ])("every call refuses %j with %j before it asks anybody", async (name, options, message) => {
    const nodes = Array.from({ length: 3 }, () => new Redis({ lazyConnect: true }));
    const lock = new QuorumLock(nodes);
    const bad = [name, options] as unknown as [string, object];
    await expect(lock.acquire(...bad)).rejects.toThrow(message);
    await expect(lock.withLock(...bad, () => undefined)).rejects.toThrow(message);
    if (!("waitMs" in options)) {
      await expect(lock.tryAcquire(...bad)).rejects.toThrow(message);
      await expect(lock.attempt(...bad)).rejects.toThrow(message);
    }
    if (name !== "a") await expect(lock.inspect(name as string)).rejects.toThrow(message);
    expect(nodes.map(({ status }) => status)).toEqual(["wait", "wait", "wait"]);
  });

  it("withLock wants a function", async () => {
    await expect(quorum.lock().withLock("a", {}, undefined as unknown as () => void)).rejects.toThrow(TypeError);
  });

  it("takes the clients of a Redlock 5", async () => {
    const lock = new QuorumLock(new Redlock(quorum.clients()));
    await lock.withLock("a", (hold) => hold.assertHeld());
    await lock.close();
  });
});

describe("a majority", () => {
  it("L1 L2 grants to one at a time, with rising tokens", async () => {
    const locks = [
      quorum.lock({ retryEveryMs: 5 }),
      quorum.lock({ retryEveryMs: 5 }),
      quorum.lock({ retryEveryMs: 5 }),
    ];
    const tokens: number[] = [];
    let inside = 0;
    await Promise.all(
      locks.map(async (lock) => {
        for (let round = 0; round < 8; round += 1) {
          await lock.withLock("a", { waitMs: 30_000 }, async (hold) => {
            inside += 1;
            expect(inside).toBe(1);
            tokens.push(hold.token);
            await Promise.resolve();
            inside -= 1;
          });
        }
      }),
    );
    expect(tokens).toHaveLength(24);
    expect(tokens).toEqual(tokens.toSorted((x, y) => x - y));
    expect(new Set(tokens).size).toBe(24);
  });

  it("tells who refused: null, and the votes in the cause of a timeout", async () => {
    const hold = await quorum.lock().acquire("a");
    const other = quorum.lock();
    expect(await other.tryAcquire("a")).toBeNull();
    const error = await other.acquire("a", { waitMs: 1_000 }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LockTimeoutError);
    const { cause } = error as { cause: QuorumRefusedError };
    expect(cause).toBeInstanceOf(QuorumRefusedError);
    expect(cause.votes).toHaveLength(3);
    expect(cause.votes.filter(({ vote }) => vote === "held").length).toBeGreaterThanOrEqual(2);
    expect(cause.votes[0]?.node).toMatch(/^127\.0\.0\.1:\d+$/);
    await hold.release();
  });

  it("attempt names the vote of each node: granted, held, failed with its error, skewed by how much, lost", async () => {
    const lock = quorum.lock({ nodeTimeoutMs: 5_000, clockSkewMaxMs: 1_000 });
    const names = quorum.proxies.map(({ host, port }) => `${host}:${port}`);
    const acquired = await lock.attempt("a");
    if (acquired.kind !== "acquired") throw new Error(acquired.kind);
    expect(acquired.votes.map(({ node }) => node)).toEqual(names);
    expect(acquired.votes.filter(({ vote }) => vote === "granted").length).toBeGreaterThanOrEqual(2);
    const refused = await quorum.lock().attempt("a");
    expect(refused.kind).toBe("refused");
    expect(refused.votes.filter(({ vote }) => vote === "held").length).toBeGreaterThanOrEqual(2);
    await acquired.hold.release();

    // Another program's data under the name, on two nodes.
    const [first, second] = quorum.direct as [Redis, Redis, Redis];
    for (const client of [first, second]) await client.lpush("user:list", "theirs");
    const failed = await lock.attempt("user:list");
    expect(failed.kind).toBe("unreachable");
    const errors = failed.votes.flatMap(({ vote, error }) => (vote === "failed" ? [error] : []));
    expect(errors).toMatchObject([{ reason: "WRONGTYPE" }, { reason: "WRONGTYPE" }]);
    expect(await first.lrange("user:list", "0", "-1")).toEqual(["theirs"]);

    // The lock goes on two nodes between the proposal and the confirmation.
    const held = quorum.proxies.map((proxy) => proxy.hold("request", new RegExp(quorumConfirm.sha1, "u")));
    const losing = lock.attempt("b");
    await Promise.all(held.map(({ hit }) => hit));
    // A proposal may still be on its way when a majority of the others has granted.
    for (const client of [first, second]) await pollUntil("it is deleted", async () => (await client.del("b")) === 1);
    for (const request of held) request.release();
    const lost = await losing;
    expect(lost.kind).toBe("refused");
    expect(lost.votes.filter(({ vote }) => vote === "lost").map(({ node }) => node)).toEqual(names.slice(0, 2));

    // No two clocks are near each other, whoever answers first.
    await quorum.skews[1]?.set(60_000);
    await quorum.skews[2]?.set(120_000);
    const skewed = await lock.attempt("c");
    expect(skewed.kind).toBe("skewed");
    const behind = skewed.votes.flatMap(({ vote, behindMs = 0 }) => (vote === "skewed" ? [behindMs] : []));
    expect(behind.length).toBeGreaterThanOrEqual(1);
    for (const ms of behind) expect(ms).toBeGreaterThan(30_000);
  });

  it("inspect tells the holder and each node", async () => {
    const lock = quorum.lock({ ttlMs: 600_000 });
    expect(await lock.inspect("a")).toBeNull();
    const hold = await lock.acquire("a");
    const state = await lock.inspect("a");
    expect(state).toMatchObject({ owner: hold.owner, token: hold.token });
    expect(state?.nodes).toHaveLength(3);
    expect(state?.remainingMs).toBeGreaterThan(500_000);
  });

  it("L2 renews in the background, frees on release, and a second release answers as the first", async () => {
    // Renewed so often that no stand-still of the machine takes the whole ttl.
    const lock = quorum.lock({ ttlMs: 5_000, renewEveryMs: 200 });
    const hold = await lock.acquire("a");
    await new Promise((resolve) => {
      setTimeout(resolve, 5_500);
    });
    hold.assertHeld();
    await hold.renew();
    expect(await hold.release()).toEqual({ kind: "released" });
    expect(await hold.release()).toEqual({ kind: "released" });
    const left = await Promise.all(quorum.direct.map((client) => client.exists("a")));
    expect(left).toEqual([0, 0, 0]);
  });

  it("L5 a stale holder's release leaves its successor alone, and the guard refuses its writes", async () => {
    const lock = quorum.lock();
    const old = await lock.acquire("a");
    await Promise.all(quorum.direct.map((client) => client.del("a")));
    const next = await lock.acquire("a");
    expect(next.token).toBeGreaterThan(old.token);
    expect(await old.release()).toEqual({ kind: "lost" });
    expect(await lock.inspect("a")).toMatchObject({ owner: next.owner });
    const redis = quorum.direct[0] as Redis;
    await fencedSet(redis, "user:v", "next", next);
    await expect(fencedSet(redis, "user:v", "old", old)).rejects.toBeInstanceOf(StaleTokenError);
  });

  it("withLock throws LockLostError with the value when the lock was lost, and the body's own error first", async () => {
    const lock = quorum.lock();
    const lose = (): Promise<unknown> => Promise.all(quorum.direct.map((client) => client.del("a")));
    const lost = lock.withLock("a", async () => {
      await lose();
      return 7;
    });
    await expect(lost).rejects.toMatchObject({ name: "LockLostError", value: 7 });
    const failure = new Error("the work failed");
    const failed = lock.withLock("a", async () => {
      await lose();
      throw failure;
    });
    await expect(failed).rejects.toBe(failure);
  });
});
