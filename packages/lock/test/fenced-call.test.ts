/** fenced-call.lua by way of defineFencedScript. */
import { describe, expect, it } from "vitest";
import { isTransient, RedisRefusedError } from "@holdfast/core";
import { defineFencedScript, StaleTokenError } from "../src/guard/index.ts";
import { fencedCall } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const add = defineFencedScript({
  name: "ledger.add",
  keys: ["ledger", "log"],
  args: ["amount", "note"],
  source: 'redis.call("RPUSH", KEYS[2], ARGV[2])\nreturn redis.call("INCRBY", KEYS[1], ARGV[1])',
});
const keys = { ledger: "{user}:ledger", log: "{user}:log" };

describe("defineFencedScript", () => {
  it("runs the script with its own keys and arguments and gives its reply", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    expect(await add(real.redis, fenced, keys, { amount: 5, note: "five" })).toBe(5);
    expect(await add(real.redis, fenced, keys, { amount: 2, note: "two" })).toBe(7);
    expect(await real.redis.lrange("{user}:log", 0, -1)).toEqual(["five", "two"]);
  });

  it("does not run the script for a stale token", async () => {
    const token = await real.nowUs();
    await add(real.redis, { resource: "lock:a", token: token + 1 }, keys, { amount: 5, note: "new" });
    const error = await add(real.redis, { resource: "lock:a", token }, keys, { amount: 100, note: "old" }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(StaleTokenError);
    expect(error).toMatchObject({ highest: token + 1 });
    expect(await real.redis.get("{user}:ledger")).toBe("5");
  });

  it("K1 answers a repeat with the first reply and does nothing", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const once = { operationId: "charge-7" };
    expect(await add(real.redis, fenced, keys, { amount: 5, note: "x" }, once)).toBe(5);
    expect(await add(real.redis, fenced, keys, { amount: 5, note: "x" }, once)).toBe(5);
    expect(await real.redis.get("{user}:ledger")).toBe("5");
  });

  it.each([
    ["nothing", "return nil", null],
    ["a status", 'return redis.call("SET", KEYS[1], "1")', "OK"],
    ["false", "return false", null],
    ["a list", 'return { "a", 1, { "b" } }', ["a", 1, ["b"]]],
    ["an early return", 'if KEYS[1] then return "early" end\nreturn "late"', "early"],
  ])("gives %s as the script returns it, also to a repeat", async (_, source, expected) => {
    const script = defineFencedScript({ name: "x", keys: ["key"], source });
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    for (let time = 0; time < 2; time += 1) {
      expect(await script(real.redis, fenced, { key: "user:k" }, {}, { operationId: "same" })).toEqual(expected);
    }
  });

  it("tells when the script itself fails, and that it may have written", async () => {
    const broken = defineFencedScript({
      name: "broken",
      keys: ["key"],
      source: 'return redis.call("INCR", KEYS[1], "too", "many")',
    });
    const error = await broken(
      real.redis,
      { resource: "lock:a", token: await real.nowUs() },
      { key: "user:k" },
      {},
    ).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect(error).toMatchObject({ effect: "possible" });
  });

  it.each([
    ["makes and returns", 'return redis.error_reply("INSUFFICIENT there is no money")', "INSUFFICIENT"],
    ["got and returns", 'return redis.pcall("INCRBY", KEYS[1], "x")', "ERR"],
    [
      "returns with a code of a server that cannot work",
      'return redis.error_reply("BUSY the order is shipped")',
      "BUSY",
    ],
    ["meets after a write, on a key of another type", 'redis.call("LPUSH", KEYS[1], "x")', "WRONGTYPE"],
    ["raises with a code of a server that cannot work", 'error({ err = "OOM no room for it" })', "OOM"],
    ["raises as a text", 'error("there is no money")', "ERR"],
    ["raises as nothing", "error()", "ERR"],
  ])(
    "K1 an error that the script %s leaves an effect possible, and a repeat gets it and writes nothing",
    async (_, failing, reason) => {
      const script = defineFencedScript({
        name: "pay",
        keys: ["key"],
        source: `redis.call("INCR", KEYS[1])\n${failing}`,
      });
      const fenced = { resource: "lock:a", token: await real.nowUs() };
      const pay = () =>
        script(real.redis, fenced, { key: "user:k" }, {}, { operationId: "pay-7" }).catch((error: unknown) => error);
      const first = await pay();
      expect(first).toBeInstanceOf(RedisRefusedError);
      expect(first).toMatchObject({ reason, effect: "possible" });
      expect(isTransient(first)).toBe(false);
      expect(await pay()).toMatchObject({ message: (first as Error).message, reason, effect: "possible" });
      expect(await real.redis.get("user:k")).toBe("1");
    },
  );

  it("a right that is missing for a second write leaves an effect possible", async () => {
    await real.redis.acl("SETUSER", "half", "on", ">half", "~*", "&*", "+@all", "-lpush");
    const redis = real.client({ username: "half", password: "half" });
    const script = defineFencedScript({
      name: "x",
      keys: ["key"],
      source: 'redis.call("INCR", KEYS[1])\nredis.call("LPUSH", "user:log", "x")',
    });
    const answer = script(redis, { resource: "lock:a", token: await real.nowUs() }, { key: "user:k" }, {});
    await expect(answer).rejects.toMatchObject({ name: "RedisRefusedError", reason: "NOPERM", effect: "possible" });
    expect(await real.redis.get("user:k")).toBe("1");
  });

  it("K1 a repeat is told of the error that an earlier version has kept", async () => {
    const script = defineFencedScript({ name: "x", keys: ["key"], source: 'return redis.call("INCR", KEYS[1])' });
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const run = () => script(real.redis, fenced, { key: "user:k" }, {}, { operationId: "pay-7" });
    await run();
    const [kept = "none"] = await real.redis.keys("*:guard:first:pay-7:*");
    await real.redis.eval(
      'redis.call("SET", KEYS[1], cmsgpack.pack({ err = "INSUFFICIENT no money" }), "PX", 60000)',
      1,
      kept,
    );
    await expect(run()).rejects.toMatchObject({ reason: "INSUFFICIENT", effect: "possible" });
    expect(await real.redis.get("user:k")).toBe("1");
  });

  it("what refuses the script before it begins has had no effect", async () => {
    const source = 'return redis.call("INCR", KEYS[1])';
    const [script, unreadable] = [source, "return ("].map((text) =>
      defineFencedScript({ name: "x", keys: ["key"], source: text }),
    );
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const none = (name: string, reason: string) => ({ name, reason, effect: "none" });
    await expect(unreadable?.(real.redis, fenced, { key: "user:k" }, {})).rejects.toMatchObject(
      none("RedisRefusedError", "ERR"),
    );
    await real.redis.lpush("holdfast:{user:k}:guard:lock:a", "of another program");
    await expect(script?.(real.redis, fenced, { key: "user:k" }, {})).rejects.toMatchObject(
      none("RedisRefusedError", "WRONGTYPE"),
    );
    await real.redis.del("holdfast:{user:k}:guard:lock:a");
    await real.redis.config("SET", "maxmemory", 1);
    const full = script?.(real.redis, fenced, { key: "user:k" }, {}).catch((error: unknown) => error);
    await full;
    await real.redis.config("SET", "maxmemory", 0);
    expect(await full).toMatchObject(none("RedisUnavailableError", "OOM"));
    expect(await real.redis.exists("user:k")).toBe(0);
  });

  it("K1 an operation id names one run for each script and its keys", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const once = { operationId: "pay-7" };
    const source = 'return redis.call("INCR", KEYS[1])';
    const [pay, book] = ["pay", "book"].map((name) => defineFencedScript({ name, keys: ["key"], source }));
    for (const script of [pay, book])
      for (const key of ["{user}:1", "{user}:2"]) await script?.(real.redis, fenced, { key }, {}, once);
    expect(await real.redis.mget("{user}:1", "{user}:2")).toEqual(["2", "2"]);
  });

  it("refuses keys in several slots, a missing key, a missing argument, and a definition without keys", async () => {
    const fenced = { resource: "lock:a", token: await real.nowUs() };
    const args = { amount: 1, note: "" };
    await expect(add(real.redis, fenced, { ledger: "user1", log: "user2" }, args)).rejects.toThrow(
      /share one Cluster slot/,
    );
    await expect(add(real.redis, fenced, { ledger: "user1" } as typeof keys, args)).rejects.toThrow(
      /keys.log is missing/,
    );
    await expect(add(real.redis, fenced, keys, { amount: 1 } as typeof args)).rejects.toThrow(/args.note is missing/);
    expect(() => defineFencedScript({ name: "x", keys: [] as unknown as ["key"], source: "return 1" })).toThrow(
      /at least one key/,
    );
    expect(() => defineFencedScript({ name: "x", keys: ["key"], source: "" })).toThrow(/source must be/);
  });
});

describe("the script", () => {
  const own = { fence: "holdfast:{user}:guard:lock:a", first: "holdfast:{user}:guard:first:1" };
  const source = {
    ...fencedCall,
    source: `local function userScript() return "ran" end\nlocal userKeys, userArgs = {}, {}\n${fencedCall.source}`,
  };
  const call = (token: number, more: Record<string, string | number> = {}) =>
    runRaw(real.redis, source, own, {
      token: String(token).padStart(16, "0"),
      guardRetentionMs: 60_000,
      repeatWithinMs: 30_000,
      ...more,
    }) as Promise<unknown[]>;

  it("K1 does nothing after its bound", async () => {
    expect((await call(await real.nowUs(), { notAfterUs: 1 }))[0]).toBe("too-late");
    expect(await real.redis.keys("*")).toEqual([]);
  });

  it("refuses a token older than the guard remembers, and a newer format", async () => {
    expect((await call((await real.nowUs()) - 61_000_000))[0]).toBe("too-old");
    await real.redis.set(own.fence, "2x", "PX", 10_000);
    expect((await call(await real.nowUs()))[0]).toBe("newer-format");
  });
});
