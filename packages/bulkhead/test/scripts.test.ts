import { Connection, NewerFormatError } from "@holdfast/core";
import type { ScriptArgs } from "@holdfast/core";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { sync } from "../src/scripts.generated.ts";
import {
  closeScript,
  leaveScript,
  lookScript,
  openScript,
  probeScript,
  syncScript,
  TooManyPodsError,
} from "../src/scripts.ts";
import type { SyncReply } from "../src/scripts.ts";

let server: RedisServer;
let redis: Redis;
let connection: Connection;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
  connection = Connection.of(redis);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

afterEach(async () => {
  await server.call("FLUSHALL");
});

const key = "{t}:pods";
const call = { operation: "test", timeoutMs: 60_000 };
const retentionMs = 86_400_000;
let sequence = 0;
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Granted = Extract<SyncReply, { kind: "granted" }>;

async function syncAs(pod: string, wanted: number, rest: Partial<ScriptArgs<typeof sync>> = {}): Promise<Granted> {
  sequence += 1;
  const args = {
    pod,
    sequence,
    leaseUs: 60_000_000,
    limit: 10,
    keep: wanted,
    used: 0,
    wanted,
    podsMax: 100,
    retentionMs,
    publish: "PUBLISH",
    ...rest,
  };
  const reply = await connection.run(syncScript, { pods: key }, args, call);
  if (reply.kind !== "granted") throw new Error(reply.kind);
  return reply;
}

describe("sync", () => {
  it("B7 grants no more than the limit and shares it max-min", async () => {
    expect(await syncAs("a", 20)).toMatchObject({ held: 10, share: 10, pods: 1 });
    expect(await syncAs("b", 2)).toMatchObject({ held: 0, share: 2, pods: 2 });
    expect(await syncAs("a", 20, { keep: 8 })).toMatchObject({ held: 8, share: 8 });
    expect(await syncAs("b", 2)).toMatchObject({ held: 2, share: 2 });
    expect(await syncAs("c", 9)).toMatchObject({ held: 0, share: 4, pods: 3 });
  });

  it("whoever wants little gets it, whose turn it is does not matter while there are enough permits", async () => {
    // In any second one of the two names comes first.
    for (const [little, much] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      await syncAs(little, 2);
      expect(await syncAs(much, 20)).toMatchObject({ held: 8, share: 8 });
      await server.call("FLUSHALL");
    }
  });

  it("K1 a repeat gets the same permits, and an older request changes nothing", async () => {
    const first = await syncAs("a", 3, { sequence: 5 });
    await syncAs("b", 10, { sequence: 1 });
    expect(await syncAs("a", 9, { sequence: 5 })).toMatchObject({ token: first.token, held: 3 });
    expect(await syncAs("a", 4, { sequence: 6, keep: 1 })).toMatchObject({ token: first.token });
    await expect(syncAs("a", 9, { sequence: 5 })).rejects.toThrow("stale");
  });

  it("B7 counter-test: a late request that took back an earlier one would let the sum pass the limit", async () => {
    await syncAs("a", 10, { sequence: 1, used: 10, keep: 10 });
    // Were this older one carried out, b would get the ten permits that a uses.
    await expect(syncAs("a", 0, { sequence: 0 })).rejects.toThrow("stale");
    expect((await syncAs("b", 10)).held).toBe(0);
  });

  it("K1 a request that arrives after its bound does nothing", async () => {
    const { sha1, source } = syncScript.source;
    await redis.script("LOAD", source);
    const reply = await redis.evalsha(
      sha1,
      1,
      key,
      "1",
      "a",
      "1",
      "1000000",
      "10",
      "5",
      "0",
      "5",
      "100",
      "1000",
      "PUBLISH",
    );
    expect((reply as string[])[0]).toBe("too-late");
    expect(await redis.exists(key)).toBe(0);
  });

  it("B7 a lapsed lease frees the idle permits, and those in use count when its process comes back", async () => {
    await syncAs("a", 10, { leaseUs: 50_000 });
    await wait(60);
    expect((await syncAs("b", 10)).held).toBe(10);
    const back = await syncAs("a", 10, { used: 4, keep: 10 });
    expect(back.held).toBe(4);
    // 14 in all: nobody gets another before the excess is gone.
    expect((await syncAs("c", 3)).held).toBe(0);
    expect((await syncAs("b", 10, { keep: 8, used: 8 })).held).toBe(8);
    expect((await syncAs("c", 3)).held).toBe(0);
  });

  it("B7 counter-test: had a process that was paused not told what it uses, the excess would last", async () => {
    for (const [used, granted] of [
      [4, 4],
      // On top of the four that it still runs.
      [0, 2],
    ] as const) {
      await syncAs("a", 4, { limit: 4, leaseUs: 20_000 });
      await wait(30);
      expect((await syncAs("b", 4, { limit: 4, used: 4 })).held).toBe(4);
      await syncAs("a", 4, { limit: 4, used });
      await syncAs("b", 4, { limit: 4, keep: 2, used: 2 });
      expect((await syncAs("a", 4, { limit: 4, used })).held).toBe(granted);
      await server.call("FLUSHALL");
    }
  });

  it("K5 tokens grow with every lease, also after all processes are gone", async () => {
    const first = await syncAs("a", 1);
    expect((await syncAs("a", 2)).token).toBe(first.token);
    await connection.run(leaveScript, { pods: key }, { pod: "a", token: first.token, publish: "PUBLISH" }, call);
    const second = await syncAs("a", 1);
    expect(second.token).toBeGreaterThan(first.token);
    expect(await redis.pttl(key)).toBeGreaterThan(retentionMs - 10_000);
  });

  it("K5 tokens grow also when the clock of the server went back", async () => {
    const future = Number((await redis.time())[0]) * 1e6 + 3_600e6;
    await redis.hset(key, "#token", String(future));
    expect((await syncAs("a", 1)).token).toBe(future + 1);
  });

  it("K1 a late leaving with the token of an earlier lease takes nothing from the present one", async () => {
    const leave = (token: number) =>
      connection.run(leaveScript, { pods: key }, { pod: "a", token, publish: "PUBLISH" }, call);
    const first = await syncAs("a", 1);
    expect(await leave(first.token)).toBe("left");
    const second = await syncAs("a", 3);
    expect(await leave(first.token)).toBe("absent");
    expect(await syncAs("a", 3)).toMatchObject({ token: second.token, held: 3 });
  });

  it("with fewer permits than processes each comes first in its turn", async () => {
    const first = new Set<string>();
    const names = ["a", "b", "c"];
    await Promise.all(names.map((name) => syncAs(name, 0, { limit: 1 })));
    // Seconds take turns; how many of them a machine that stands still misses does not matter.
    for (let round = 0; first.size < 3 && round < 600; round += 1) {
      // Told together, so that all see the same second but at its turn.
      const replies = await Promise.all(names.map((name) => syncAs(name, 5, { limit: 1, keep: 0 })));
      for (const [index, { share }] of replies.entries()) if (share === 1) first.add(names[index] as string);
      await wait(100);
    }
    expect([...first].toSorted()).toEqual(names);
  });

  it("K8 a lease that seems longer than it is, since the clock went back, ends at its length", async () => {
    const nowUs = Number((await redis.time())[0]) * 1e6;
    await redis.hset(key, "old", `1 ${nowUs + 3_600e6} 800000 1700000000000000 1 10 10 10`);
    expect((await syncAs("a", 10)).held).toBe(0);
    await wait(850);
    expect((await syncAs("a", 10)).held).toBe(10);
  });

  it("the lowest limit of the live processes counts, so that a rolling change never exceeds it", async () => {
    await syncAs("old", 1, { limit: 4 });
    expect((await syncAs("new", 10, { limit: 10 })).held).toBe(3);
  });

  it("refuses a newer format and too many processes without a write", async () => {
    await redis.hset(key, "x", "2 whatever");
    await expect(syncAs("a", 1)).rejects.toBeInstanceOf(NewerFormatError);
    await redis.del(key);
    for (const pod of ["a", "b"]) await syncAs(pod, 1, { podsMax: 2 });
    await expect(syncAs("c", 1, { podsMax: 2 })).rejects.toBeInstanceOf(TooManyPodsError);
    expect(await redis.hexists(key, "c")).toBe(0);
  });

  it("a process too many does no harm to those that are in, and the dead make room for it", async () => {
    await syncAs("a", 1, { podsMax: 2 });
    await syncAs("b", 1, { podsMax: 2 });
    await expect(syncAs("c", 1, { podsMax: 2 })).rejects.toBeInstanceOf(TooManyPodsError);
    expect(await syncAs("b", 3, { podsMax: 2 })).toMatchObject({ held: 3, pods: 2 });
    await syncAs("a", 1, { podsMax: 2, leaseUs: 50_000 });
    await wait(60);
    expect(await syncAs("c", 1, { podsMax: 2 })).toMatchObject({ held: 1, pods: 2 });
    expect(await redis.hexists(key, "a")).toBe(0);
  });

  it("K3 gives permits back when the server is out of memory, and grants none half", async () => {
    const { token } = await syncAs("a", 10);
    const used = Number(/used_memory:(\d+)/u.exec(await redis.info("memory"))?.[1]);
    await redis.config("SET", "maxmemory", String(used - 1_000));
    await expect(syncAs("b", 1)).rejects.toMatchObject({ reason: "OOM", effect: "none" });
    expect(await connection.run(leaveScript, { pods: key }, { pod: "a", token, publish: "PUBLISH" }, call)).toBe(
      "left",
    );
    await redis.config("SET", "maxmemory", "0");
    expect(await syncAs("b", 10)).toMatchObject({ held: 10, pods: 1 });
  });
});

describe("a shared breaker's record", () => {
  const keys = { state: "{t}:breaker" };
  const open = (operation: string, seen: string, openUs = 200_000) =>
    connection.run(openScript, keys, { operation, seen, openUs, retentionMs, publish: "PUBLISH" }, call);
  const probe = (operation: string, probeUs = 60_000_000, seen = "0") =>
    connection.run(probeScript, keys, { operation, seen, probeUs, retentionMs, publish: "PUBLISH" }, call);
  const close = (operation: string, token: string) =>
    connection.run(closeScript, keys, { operation, token, retentionMs, publish: "PUBLISH" }, call);

  it("K1 opening twice with one id is one opening, and nobody opens what is open", async () => {
    const first = await open("one", "0", 60_000_000);
    expect(first.kind).toBe("open");
    expect((await open("one", "0", 60_000_000)).token).toBe(first.token);
    expect((await open("two", "0", 60_000_000)).token).toBe(first.token);
  });

  it("B4 one probe at a time; its right ends by itself", async () => {
    const { token } = await open("one", "0", 60_000_000);
    expect(token).not.toBe("0");
    expect((await probe("p1")).kind).toBe("open");
    // It has been open long enough.
    await redis.hset(keys.state, "untilUs", "1");
    expect((await probe("p1", 60_000_000)).kind).toBe("granted");
    expect((await probe("p1", 60_000_000)).kind).toBe("granted");
    expect(await probe("p2", 60_000_000)).toMatchObject({ kind: "open" });
    expect((await probe("p1", 50_000)).kind).toBe("granted");
    await wait(60);
    expect((await probe("p2", 60_000_000)).kind).toBe("granted");
  });

  it("B4 a right to probe lasts as long as it was given for, also for those whose own would be shorter", async () => {
    await open("one", "0", 1_000);
    await wait(5);
    expect((await probe("slow", 20_000_000)).kind).toBe("granted");
    expect(await probe("quick", 1_000_000)).toMatchObject({ kind: "open" });
    // As an older version gives it, which does not say for how long.
    await redis.hdel(keys.state, "probeUs");
    expect(await probe("patient", 60_000_000)).toMatchObject({ kind: "open" });
    expect((await probe("quick", 1_000_000)).kind).toBe("granted");
  });

  it("K8 a clock that went back leaves nobody the right to probe for longer than it was given for", async () => {
    await open("one", "0", 1_000);
    await wait(5);
    await probe("p1", 1_000_000);
    await redis.hset(keys.state, "probeEndUs", String(Number((await redis.time())[0]) * 1e6 + 3_600e6));
    expect((await probe("p2", 60_000_000)).kind).toBe("granted");
  });

  it("B4 nobody gets the right to probe a dependency that is well", async () => {
    const { token } = await open("one", "0", 1_000);
    await wait(5);
    await probe("p1", 60_000_000, token);
    await close("p1", token);
    expect((await probe("p2", 60_000_000, token)).kind).toBe("closed");
    expect(await redis.hexists(keys.state, "probe")).toBe(0);
  });

  it("B4 an opening that never came here or was lost is recorded when its process asks to probe, and one probes", async () => {
    const { token } = await open("one", "0", 1_000);
    await wait(5);
    await probe("p1", 60_000_000, token);
    const closed = await close("p1", token);
    for (const seen of [closed.token, String(Number(closed.token) + 3_600e6)]) {
      const granted = await probe(`late ${seen}`, 60_000_000, seen);
      expect(granted.kind).toBe("granted");
      expect(granted.token > seen).toBe(true);
      expect(await probe("another", 60_000_000, seen)).toMatchObject({ kind: "open", token: granted.token });
      expect((await close(`late ${seen}`, granted.token)).kind).toBe("closed");
      await redis.del(keys.state);
    }
  });

  it("K5 an opening has a higher token than the last one that its process has seen, although that was lost", async () => {
    const seen = String(Number((await redis.time())[0]) * 1e6 + 3_600e6);
    expect((await open("one", seen)).token > seen).toBe(true);
  });

  it("B4 only the process that probes closes it, and only the state that it probed", async () => {
    const { token } = await open("one", "0", 1_000);
    await wait(5);
    await probe("p1");
    expect((await close("p2", token)).kind).toBe("open");
    expect((await close("p1", "0")).kind).toBe("open");
    const closed = await close("p1", token);
    expect(closed.kind).toBe("closed");
    expect(closed.token > token).toBe(true);
    expect((await close("p1", token)).kind).toBe("closed");
  });

  it("B4 evidence from before the closing does not open it again", async () => {
    const { token } = await open("one", "0", 1_000);
    await wait(5);
    await probe("p1");
    await close("p1", token);
    expect((await open("late", token)).kind).toBe("closed");
    const { token: now } = await connection.run(lookScript, keys, {}, call);
    expect((await open("fresh", now)).kind).toBe("open");
  });

  it("K8 a clock that went back does not keep it open for ever", async () => {
    await open("one", "0", 600_000);
    const far = Number((await redis.time())[0]) * 1e6 + 3_600e6;
    await redis.hset(keys.state, "untilUs", String(far));
    expect((await probe("p1")).kind).toBe("open");
    await wait(620);
    expect((await probe("p1")).kind).toBe("granted");
  });

  it("refuses a newer format", async () => {
    await redis.hset(keys.state, "format", "2");
    await expect(open("one", "0")).rejects.toBeInstanceOf(NewerFormatError);
    await expect(probe("p1")).rejects.toBeInstanceOf(NewerFormatError);
    await expect(close("p1", "0")).rejects.toBeInstanceOf(NewerFormatError);
    await expect(connection.run(lookScript, keys, {}, call)).rejects.toBeInstanceOf(NewerFormatError);
  });
});
