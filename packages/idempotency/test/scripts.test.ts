import { Connection } from "@holdfast/core";
import { ClockSkew, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { beforeEach, describe, expect, it } from "vitest";
import { NewerFormatError, RedisRefusedError } from "@holdfast/core";
import { KeyLayout } from "../src/keys.ts";
import type { KeyPlace } from "../src/keys.ts";
import { resolveIdempotencyOptions } from "../src/options.ts";
import type { IdempotencyOptions } from "../src/options.ts";
import { AttemptStore } from "../src/store.ts";
import type { EncodedOutcome } from "../src/store.ts";
import { pass, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();
const print = (text: string): Buffer => Buffer.from(text.padEnd(32, "."));
const completed = (text: string): EncodedOutcome => ({
  outcome: "completed",
  codecId: "json",
  bytes: Buffer.from(text),
});

let place: KeyPlace;
beforeEach(() => {
  place = new KeyLayout("holdfast", uniqueName()).place({ key: "k", tenant: "t" });
});

function storeOf(options: IdempotencyOptions = {}, redis: Redis = bench.redis): AttemptStore {
  return new AttemptStore(Connection.of(redis), resolveIdempotencyOptions(options));
}

async function granted(
  store: AttemptStore,
  owner: string,
  fingerprint: Buffer = print("f"),
): Promise<{ token: number; number: number; recovered: boolean }> {
  const answer = await store.claim({ place, owner }, fingerprint);
  if (answer.kind !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
  return answer;
}

async function finish(store: AttemptStore, owner: string, token: number, text = '"x"'): Promise<{ kind: string }> {
  return store.finish({ place, owner, token, number: 1, fingerprint: print("f") }, completed(text));
}

async function field(name: string): Promise<string | null> {
  return bench.redis.hget(place.record, name);
}

/** Runs a script as it would arrive after its caller has given up. */
async function late(call: (store: AttemptStore) => Promise<unknown>): Promise<unknown> {
  const { proxy, redis } = await bench.proxied();
  const store = storeOf({ commandTimeoutMs: 50 }, redis);
  // The server's time is known from here on.
  await store.claim(
    { place: new KeyLayout("holdfast", uniqueName()).place({ key: "warm" }), owner: "warm" },
    print("f"),
  );
  const held = proxy.hold("request", /^EVALSHA/i);
  const outcome = await rejection(call(store));
  await pass(20);
  held.release();
  await redis.ping();
  return outcome;
}

describe("K1 every script is safe to repeat", () => {
  it("K1 a claim that is repeated gets its first answer and counts once", async () => {
    const store = storeOf();
    const first = await granted(store, "a");
    expect(await granted(store, "a")).toEqual(first);
    expect(await field("n")).toBe("1");
  });

  it("K1 a claim that arrives again after its attempt was released starts nothing", async () => {
    const store = storeOf();
    const first = await granted(store, "a");
    await store.release({ place, owner: "a" }, "none");
    expect(await granted(store, "a")).toEqual(first);
    expect(await field("s")).toBe("released");
  });

  it("K1 ends that are repeated get their first answer", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    await store.forget(place, "f1");
    await granted(store, "b");
    expect(await store.release({ place, owner: "b" }, "possible")).toEqual({ kind: "ended" });
    expect(await store.release({ place, owner: "b" }, "possible")).toEqual({ kind: "ended" });
    await granted(store, "c");
    expect(await store.hold({ place, owner: "c" })).toEqual({ kind: "ended" });
    expect(await store.hold({ place, owner: "c" })).toEqual({ kind: "ended" });
    expect(await field("x")).toBeNull();
  });

  it("K1 an operator's call that is repeated does not undo what came after it", async () => {
    const store = storeOf();
    await granted(store, "a");
    expect(await store.forget(place, "op1")).toBe("forgotten");
    await granted(store, "b");
    expect(await store.forget(place, "op1")).toBe("forgotten");
    expect(await field("s")).toBe("running");
    await store.hold({ place, owner: "b" });
    const released = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
    expect(await store.resolve(place, "op2", released)).toEqual({ kind: "resolved" });
    await granted(store, "c");
    expect(await store.resolve(place, "op2", released)).toEqual({ kind: "resolved" });
    expect(await field("s")).toBe("running");
    const fresh = new KeyLayout("holdfast", uniqueName()).place({ key: "none" });
    expect(await store.forget(fresh, "op3")).toBe("absent");
    expect(await store.forget(fresh, "op3")).toBe("absent");
  });

  it.each<[string, (store: AttemptStore) => Promise<unknown>]>([
    ["claim", (store) => store.claim({ place, owner: "late" }, print("f"))],
    ["renew", (store) => store.renew({ place, owner: "a" })],
    ["finish", (store) => finish(store, "a", 1)],
    ["release", (store) => store.release({ place, owner: "a" }, "none")],
    ["hold", (store) => store.hold({ place, owner: "a" })],
    ["forget", (store) => store.forget(place, "late")],
    ["prune", (store) => store.prune(place, place)],
    [
      "resolve",
      (store) =>
        store.resolve(place, "late", { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) }),
    ],
  ])("K1 a late %s writes nothing", async (verb, call) => {
    const setup = storeOf({ leaseMs: 60_000 });
    if (verb !== "claim") await granted(setup, "a");
    if (verb === "resolve") await setup.hold({ place, owner: "a" });
    if (verb === "prune") await bench.redis.del(place.record);
    const dump = async (): Promise<string> =>
      JSON.stringify([await bench.redis.hgetall(place.record), await bench.redis.zrange(place.recovering, "0", "-1")]);
    const before = await dump();
    await late(call);
    expect(await dump()).toBe(before);
  });
});

describe("K3 guards come before writes", () => {
  it("K3 a key of another type is refused and left alone", async () => {
    await bench.redis.set(place.record, "foreign");
    const store = storeOf();
    const error = await rejection(store.claim({ place, owner: "a" }, print("f")));
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect((error as RedisRefusedError).effect).toBe("none");
    expect(await bench.redis.get(place.record)).toBe("foreign");
    expect(await bench.redis.exists(place.recovering)).toBe(0);
  });

  it("K3 an index of another type is refused before the record changes", async () => {
    await bench.redis.set(place.recovering, "foreign");
    expect(await rejection(storeOf().claim({ place, owner: "a" }, print("f")))).toBeInstanceOf(RedisRefusedError);
    expect(await bench.redis.exists(place.record)).toBe(0);
  });

  it("K3 outcomes are stored, leases renewed and keys freed when memory is out", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const store = storeOf({}, redis);
    const place2 = new KeyLayout("holdfast", uniqueName()).place({ key: "k2" });
    const place3 = new KeyLayout("holdfast", uniqueName()).place({ key: "k3" });
    const { token } = await granted(store, "a");
    await store.claim({ place: place2, owner: "b" }, print("f"));
    await store.claim({ place: place3, owner: "c" }, print("f"));
    await redis.config("SET", "maxmemory", "1");
    expect(await rejection(redis.set("x", "y"))).toMatchObject({ message: expect.stringContaining("OOM") as string });
    expect(await store.renew({ place, owner: "a" })).toBe("renewed");
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.release({ place: place2, owner: "b" }, "none")).toEqual({ kind: "ended" });
    expect(await store.hold({ place: place3, owner: "c" })).toEqual({ kind: "ended" });
    expect(await finish(store, "nobody", token)).toMatchObject({ kind: "refused" });
    expect(await store.forget(place, "op")).toBe("forgotten");
    expect(await rejection(store.claim({ place, owner: "d" }, print("f")))).toMatchObject({
      reason: "OOM",
      effect: "none",
    });
    redis.disconnect();
  });

  it("a record of a newer version is left alone by every script", async () => {
    const store = storeOf();
    await granted(store, "a");
    await bench.redis.hset(place.record, "v", "2");
    const before = await bench.redis.hgetall(place.record);
    const resolution = { outcome: "released", effect: "none", codecId: "", bytes: Buffer.alloc(0) } as const;
    const calls: (() => Promise<unknown>)[] = [
      () => store.claim({ place, owner: "b" }, print("f")),
      () => store.renew({ place, owner: "a" }),
      () => finish(store, "a", 1),
      () => store.release({ place, owner: "a" }, "none"),
      () => store.hold({ place, owner: "a" }),
      () => store.resolve(place, "op", resolution),
      () => store.forget(place, "op"),
      () => store.inspect(place),
    ];
    for (const call of calls) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(NewerFormatError);
      expect(error).toMatchObject({ found: 2, supported: 1 });
    }
    expect(await bench.redis.hgetall(place.record)).toEqual(before);
  });
});

describe("ownership", () => {
  it("only the owner of the running attempt renews, finishes, releases or holds", async () => {
    const store = storeOf();
    const { token } = await granted(store, "a");
    const refused = { kind: "refused", state: "running", currentToken: token };
    expect(await store.renew({ place, owner: "b" })).toBe("lost");
    expect(await finish(store, "b", token + 1)).toEqual(refused);
    expect(await store.release({ place, owner: "b" }, "none")).toEqual(refused);
    expect(await store.hold({ place, owner: "b" })).toEqual(refused);
    expect(await field("x")).toBe("3");
    expect(await field("s")).toBe("running");
  });

  it("an attempt that has ended is not renewed", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.hold({ place, owner: "a" });
    expect(await store.renew({ place, owner: "a" })).toBe("lost");
    expect(await finish(store, "a", 1)).toMatchObject({ kind: "refused", state: "unknown" });
  });

  it("an end of an attempt that nobody knows is refused", async () => {
    const store = storeOf();
    expect(await store.release({ place, owner: "a" }, "none")).toEqual({
      kind: "refused",
      state: "absent",
      currentToken: 0,
    });
    expect(await store.hold({ place, owner: "a" })).toEqual({ kind: "refused", state: "absent", currentToken: 0 });
    expect(await bench.redis.exists(place.record)).toBe(0);
  });

  it("a result whose record Redis has lost is stored, unless its token is older than a tombstone would be", async () => {
    const store = storeOf({ retentionMs: 1_000 });
    const { token } = await granted(store, "a");
    await bench.redis.flushall();
    expect(await finish(store, "a", token)).toEqual({ kind: "ended" });
    expect(await store.claim({ place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
    await bench.redis.flushall();
    expect(await finish(store, "a", token - 1_000_000)).toEqual({ kind: "refused", state: "absent", currentToken: 0 });
  });

  it("a key that is settled or busy is not resolved, and one that is unknown to Redis neither", async () => {
    const store = storeOf();
    const resolution = { ...completed('"y"'), outcome: "completed", effect: "possible" } as const;
    expect(await store.resolve(place, "op1", resolution)).toEqual({ kind: "absent" });
    const { token } = await granted(store, "a");
    expect(await store.resolve(place, "op2", resolution)).toMatchObject({ kind: "busy" });
    await finish(store, "a", token);
    expect(await store.resolve(place, "op3", resolution)).toEqual({ kind: "settled", outcome: "completed" });
    expect(await field("r")).toBe('"x"');
    await store.forget(place, "op4");
    expect(await store.resolve(place, "op5", resolution)).toEqual({ kind: "absent" });
  });

  it("an operator's decision shuts out the attempt that it overrules", async () => {
    const store = storeOf({ leaseMs: 50, onUnknown: "hold" });
    const { token } = await granted(store, "a");
    await pass(80);
    expect(await store.resolve(place, "op", { ...completed('"y"'), outcome: "completed", effect: "possible" })).toEqual(
      {
        kind: "resolved",
      },
    );
    expect(await finish(store, "a", token)).toMatchObject({ kind: "refused", state: "completed" });
    expect(await store.claim({ place, owner: "b" }, print("f"))).toMatchObject({ kind: "stored" });
  });
});

describe("the index of unfinished keys", () => {
  const index = async (): Promise<string[][]> => [
    await bench.redis.zrange(place.recovering, "0", "-1"),
    await bench.redis.zrange(place.held, "0", "-1"),
  ];

  it.each(["recover", "hold"] as const)(
    "lists a key from its claim to its end, with onUnknown %s",
    async (onUnknown) => {
      const store = storeOf({ onUnknown });
      const listed = onUnknown === "recover" ? [[place.member], []] : [[], [place.member]];
      const { token } = await granted(store, "a");
      expect(await index()).toEqual(listed);
      await store.hold({ place, owner: "a" });
      expect(await index()).toEqual(listed);
      await store.forget(place, "op1");
      expect(await index()).toEqual([[], []]);
      await granted(store, "b");
      await store.release({ place, owner: "b" }, "none");
      expect(await index()).toEqual([[], []]);
      await granted(store, "c");
      expect(await finish(store, "c", token)).toEqual({ kind: "ended" });
      expect(await index()).toEqual([[], []]);
    },
  );

  it("changes lists when the next attempt follows another rule", async () => {
    await granted(storeOf({ leaseMs: 50 }), "a");
    await pass(80);
    await granted(storeOf({ onUnknown: "hold" }), "b");
    expect(await index()).toEqual([[], [place.member]]);
  });

  it("forgets keys whose records have expired long ago", async () => {
    const store = storeOf({ retentionMs: 1_000, leaseMs: 50, attemptMaxMs: 50 });
    await bench.redis.zadd(place.recovering, 1, "ancient:key");
    await granted(store, "a");
    expect(await index()).toEqual([[place.member], []]);
    expect(await bench.redis.pttl(place.recovering)).toBeGreaterThan(0);
  });

  it("gives up an entry whose record is gone, and keeps one whose record is there", async () => {
    const store = storeOf();
    await granted(store, "a");
    await store.prune(place, place);
    expect(await index()).toEqual([[place.member], []]);
    await bench.redis.del(place.record);
    await store.prune(place, place);
    expect(await index()).toEqual([[], []]);
  });
});

describe("K5 tokens", () => {
  it("K5 grow with every grant, 16 digits and exact, and outlive the outcome in their key's expiry", async () => {
    const store = storeOf({ retentionMs: 10_000 });
    const tokens: number[] = [];
    for (let round = 0; round < 50; round += 1) {
      const { token } = await granted(store, `a${round}`);
      tokens.push(token);
      await store.release({ place, owner: `a${round}` }, "none");
    }
    expect(tokens).toEqual([...new Set(tokens)].toSorted((left, right) => left - right));
    expect(await field("t")).toBe(String(tokens.at(-1)));
  });

  it("K5 a token ahead of the clock is followed by a higher one, and is remembered for its time plus the retention", async () => {
    const store = storeOf({ retentionMs: 10_000, leaseMs: 50 });
    const { token } = await granted(store, "a");
    await store.release({ place, owner: "a" }, "none");
    const ahead = token + 3_600_000_000;
    await bench.redis.hset(place.record, "t", String(ahead));
    const next = await granted(store, "b");
    expect(next.token).toBe(ahead + 1);
    expect(await bench.redis.pexpiretime(place.record)).toBeGreaterThanOrEqual(Math.floor(ahead / 1_000) + 10_000);
    await store.release({ place, owner: "b" }, "none");
    expect(await bench.redis.pexpiretime(place.record)).toBeGreaterThanOrEqual(Math.floor(ahead / 1_000) + 10_000);
  });

  it("K5 a tombstone is kept as long as the record that it replaces would have been", async () => {
    await granted(storeOf({ retentionMs: 100_000 }), "a");
    await storeOf({ retentionMs: 1_000 }).forget(place, "op");
    expect(await bench.redis.pttl(place.record)).toBeGreaterThan(90_000);
  });
});

describe("K8 a clock that goes back", () => {
  it("K8 a lease that is longer than its length ends at its length from first sight", async () => {
    const store = storeOf({ leaseMs: 200 });
    await granted(store, "a");
    await bench.redis.hset(place.record, "e", String((Date.now() + 3_600_000) * 1_000));
    const seen = await store.claim({ place, owner: "b" }, print("f"));
    expect(seen).toMatchObject({ kind: "busy" });
    expect((seen as { remainingMs: number }).remainingMs).toBeLessThanOrEqual(200);
    await pass(230);
    expect((await granted(store, "b")).recovered).toBe(true);
  });

  it("K8 an operator sees it the same way", async () => {
    const store = storeOf({ leaseMs: 200 });
    await granted(store, "a");
    await bench.redis.hset(place.record, "e", String((Date.now() + 3_600_000) * 1_000));
    const resolution = { ...completed('"y"'), outcome: "completed", effect: "possible" } as const;
    expect(await store.resolve(place, "op1", resolution)).toMatchObject({ kind: "busy" });
    await pass(230);
    expect(await store.resolve(place, "op2", resolution)).toEqual({ kind: "resolved" });
  });

  it("K8 on a server whose clock really goes back an hour, a dead attempt blocks for one lease", async (context) => {
    context.skip(!(await ClockSkew.available()), "no C compiler named cc: the clock of a process cannot be set");
    await using skew = await ClockSkew.create();
    await using server = await RedisServer.start({ env: skew.env });
    const redis = new Redis(server.url);
    const store = storeOf({ leaseMs: 200, commandTimeoutMs: 1_000 }, redis);
    const first = await granted(store, "a");
    await skew.set(-3_600_000);
    // What is known of the server's time is wrong now, as it would be for up to half a minute; a new connection asks again.
    redis.disconnect(true);
    expect(await store.claim({ place, owner: "b" }, print("f"))).toMatchObject({ kind: "busy" });
    await pass(230);
    expect((await granted(store, "b")).token).toBeGreaterThan(first.token);
    redis.disconnect();
  });
});
