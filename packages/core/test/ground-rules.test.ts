/** The ground rules of every mutating script, K2 to K8, on scripts that show their pattern, each beside what happens without it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ClockSkew, FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import luaparse from "luaparse";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection, RedisRefusedError, RedisUnavailableError } from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";
import { testScript, testSource } from "./test-script.ts";

let server: RedisServer;
let proxy: FaultProxy;
const open = openClients();

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.call("FLUSHALL");
  proxy = await FaultProxy.start(server);
});
afterEach(() => proxy.close());

async function serverMs(): Promise<number> {
  const [seconds, microseconds] = (await server.call("TIME")) as [string, string];
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}

describe("K2", () => {
  const rounds = { rounds: "3000000" };
  const call = { operation: "time", timeoutMs: patientMs };

  it("K2 a script reads the time once and uses it throughout", async () => {
    const once = testScript("time-once", ["any"], ["rounds"]);
    const [, before, after] = await Connection.of(open(server)).run(once, { any: "x" }, rounds, call);
    expect(before).toMatch(/^\d{16}$/);
    expect(after).toBe(before);
  });

  it("K2 counter-test: two readings in one script differ", async () => {
    const twice = testScript("time-twice", ["any"], ["rounds"]);
    const [, before, after] = await Connection.of(open(server)).run(twice, { any: "x" }, rounds, call);
    expect(Number(after)).toBeGreaterThan(Number(before) + 1_000);
  });
});

describe("K3", () => {
  const basketKeys = { first: "{b}1", second: "{b}2" };
  const call = { operation: "basket", operationId: "1", timeoutMs: patientMs };

  beforeEach(async () => {
    await server.call("SET", basketKeys.first, 5);
    await server.call("RPUSH", basketKeys.second, "not a number");
  });

  it("K3 a wrong type in the middle of a basket leaves nothing written", async () => {
    const basket = testScript("basket", ["first", "second"], ["notAfterUs"]);
    const error = await failure(Connection.of(open(server)).run(basket, basketKeys, {}, call));
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect(error).toMatchObject({ reason: "WRONGTYPE", effect: "none" });
    expect(await server.call("GET", basketKeys.first)).toBe("5");
  });

  it("K3 counter-test: a script that finds out while it writes leaves half a basket", async () => {
    const basket = testScript("basket-unguarded", ["first", "second"], ["notAfterUs"]);
    await failure(Connection.of(open(server)).run(basket, basketKeys, {}, call));
    expect(await server.call("GET", basketKeys.first)).toBe("4");
  });

  describe("on a server that is out of memory", () => {
    const exchangeKeys = { old: "{e}old", new: "{e}new" };
    let full: RedisServer;

    beforeAll(async () => {
      full = await RedisServer.start({ config: { "maxmemory-policy": "noeviction" } });
      const connection = Connection.of(open(full));
      for (const name of ["exchange", "exchange-growing-first"]) await full.call("SCRIPT", "LOAD", testSource(name));
      await connection.close();
    });
    afterAll(() => full.stop());
    beforeEach(async () => {
      await full.call("CONFIG", "SET", "maxmemory", 0);
      await full.call("SET", exchangeKeys.old, "x".repeat(100_000));
      await full.call("CONFIG", "SET", "maxmemory", 1);
    });

    it("K3 the script that frees before it grows passes", async () => {
      const exchange = testScript("exchange", ["old", "new"], ["notAfterUs", "value"]);
      const reply = await Connection.of(open(full)).run(exchange, exchangeKeys, { value: "1" }, call);
      expect(reply).toEqual(["exchanged"]);
      expect(await full.call("MGET", exchangeKeys.old, exchangeKeys.new)).toEqual([null, "1"]);
    });

    it("K3 counter-test: the script that grows first is refused, and has done nothing", async () => {
      const exchange = testScript("exchange-growing-first", ["old", "new"], ["notAfterUs", "value"]);
      const error = await failure(Connection.of(open(full)).run(exchange, exchangeKeys, { value: "1" }, call));
      expect(error).toBeInstanceOf(RedisUnavailableError);
      expect(error).toMatchObject({ reason: "OOM", effect: "none" });
      expect(await full.call("EXISTS", exchangeKeys.old)).toBe(1);
    });
  });
});

describe("K4", () => {
  const tellKeys = { value: "{t}value", channel: "{t}channel" };
  const args = { publish: "PUBLISH", text: "hello" };
  const call = { operation: "tell", operationId: "1", timeoutMs: patientMs };
  const openMute = (): Redis => open(server, { username: "mute", password: "p" });

  beforeEach(async () => {
    await server.call("ACL", "SETUSER", "mute", "reset", "on", ">p", "~*", "+@all", "resetchannels");
  });

  it("K4 a hint that may not be sent does not fail the write", async () => {
    const tell = testScript("tell", ["value", "channel"], ["notAfterUs", "publish", "text"]);
    expect(await Connection.of(openMute()).run(tell, tellKeys, args, call)).toEqual(["told"]);
    expect(await server.call("GET", tellKeys.value)).toBe("hello");
  });

  it("K4 counter-test: a hint without pcall makes a write that was done look refused", async () => {
    const tell = testScript("tell-bare", ["value", "channel"], ["notAfterUs", "publish", "text"]);
    const error = await failure(Connection.of(openMute()).run(tell, tellKeys, args, call));
    // The error says that the write may stand, and it does.
    expect(error).toMatchObject({ name: "RedisRefusedError", reason: "NOPERM", effect: "possible" });
    expect(await server.call("GET", tellKeys.value)).toBe("hello");
  });
});

describe("K5", () => {
  const call = { operation: "grant", operationId: "1", timeoutMs: patientMs };
  const grant = testScript("grant", ["last"], ["notAfterUs", "retentionMs"]);
  const grantTostring = testScript("grant-tostring", ["last"], ["notAfterUs", "retentionMs"]);
  const args = { retentionMs: "60000" };

  it("K5 tokens in microseconds stay exact and grow by one when the clock stands", async () => {
    const connection = Connection.of(open(server));
    const lastUs = Math.floor((await serverMs()) * 1_000) + 3_600_000_007;
    await server.call("SET", "last", String(lastUs));
    for (const step of [1, 2, 3]) {
      expect(await connection.run(grant, { last: "last" }, args, call)).toEqual(["granted", String(lastUs + step)]);
    }
  });

  it("K5 tokens of bursts strictly grow and follow the clock", async () => {
    const connection = Connection.of(open(server));
    const fromUs = (await serverMs()) * 1_000;
    const replies = await Promise.all(
      Array.from({ length: 500 }, () => connection.run(grant, { last: "last" }, args, call)),
    );
    const tokens = replies.map(([, token]) => Number(token));
    expect(tokens.every((token, index) => index === 0 || token > (tokens[index - 1] as number))).toBe(true);
    expect(new Set(tokens).size).toBe(500);
    expect(tokens[0]).toBeGreaterThan(fromUs);
    expect(replies.every(([, token]) => /^\d{16}$/.test(String(token)))).toBe(true);
  });

  it("K5 counter-test: Lua's own conversion makes tokens that are 30 µs apart equal", async () => {
    const connection = Connection.of(open(server));
    const lastUs = Math.floor((await serverMs()) / 1_000) * 1_000_000 + 3_600_000_000;
    const granted = async (offset: number): Promise<unknown> => {
      await server.call("SET", "last", String(lastUs + offset));
      return (await connection.run(grantTostring, { last: "last" }, args, call))[1];
    };
    expect(await granted(30)).toBe(await granted(0));
  });

  it("K5 a key that remembers a token outlives the token's own time by the retention", async () => {
    const connection = Connection.of(open(server));
    const aheadMs = 3_600_000;
    const lastUs = Math.floor((await serverMs()) + aheadMs) * 1_000;
    await server.call("SET", "last", String(lastUs));
    await connection.run(grant, { last: "last" }, args, call);
    expect(Number(await server.call("PEXPIRETIME", "last"))).toBeGreaterThanOrEqual(lastUs / 1_000 + 60_000);
    await connection.run(grantTostring, { last: "last" }, args, call);
    expect(Number(await server.call("PTTL", "last"))).toBeLessThanOrEqual(60_000);
  });

  it("K5 tokens grow although the server's clock went back by an hour", async () => {
    await using skew = await ClockSkew.create();
    await using skewed = await RedisServer.start({ env: skew.env });
    const connection = Connection.of(open(skewed));
    const token = async (): Promise<number> => Number((await connection.run(grant, { last: "last" }, args, call))[1]);
    await skew.set(3_600_000);
    const before = await token();
    await skew.set(0);
    expect(await token()).toBe(before + 1);
  });
});

describe("K6", () => {
  const folders = ["src/scripts/shared", "test/scripts"].map((folder) => join(import.meta.dirname, "..", folder));
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  /** What Lua 5.4 does not have, and with what 5.1 does not. */
  const oneVersionOnly = [
    "unpack",
    "loadstring",
    "setfenv",
    "getfenv",
    "pow",
    "getn",
    "maxn",
    "mod",
    "gfind",
    "utf8",
    "pack",
  ];

  it.each(files.map((file) => [file.slice(file.indexOf("core/")), file]))(
    "K6 %s is Lua in 5.1 and in later versions",
    (_, file) => {
      for (const luaVersion of ["5.1", "5.2", "5.3"] as const) {
        const names: string[] = [];
        luaparse.parse(readFileSync(file, "utf8"), {
          luaVersion,
          onCreateNode: (node) => {
            if (node.type === "Identifier") names.push(node.name);
          },
        });
        expect(names.filter((name) => oneVersionOnly.includes(name))).toEqual([]);
      }
    },
  );
});

describe("K7", () => {
  const claimKeys = { queue: "{q}queue", claims: "{q}claims" };
  const args = { worker: "w", sequence: "1", itemsMax: "2" };
  const call = { operation: "claim", operationId: "w:1", timeoutMs: patientMs };
  const names = ["notAfterUs", "worker", "sequence", "itemsMax"] as const;

  beforeEach(async () => {
    await server.call("RPUSH", claimKeys.queue, "a", "b", "c", "d");
  });

  it("K7 a claim that is sent again after a lost reply returns the same batch", async () => {
    const claim = testScript("claim", ["queue", "claims"], names);
    const connection = Connection.of(open(proxy));
    await connection.run(claim, { ...claimKeys, queue: "{q}other" }, { ...args, sequence: "0" }, call);
    const lost = proxy.swallowReply("evalsha");
    expect(await connection.run(claim, claimKeys, args, call)).toEqual(["claimed", '["a","b"]']);
    expect(lost.hits).toBe(1);
    expect(await connection.run(claim, claimKeys, { ...args, sequence: "2" }, call)).toEqual(["claimed", '["c","d"]']);
  });

  it("K7 counter-test: a claim that does not know its sequence takes a second batch, and the first is lost", async () => {
    const claim = testScript("claim-anew", ["queue", "claims"], names);
    const connection = Connection.of(open(proxy));
    await connection.run(claim, { ...claimKeys, queue: "{q}other" }, args, call);
    const lost = proxy.swallowReply("evalsha");
    expect(await connection.run(claim, claimKeys, args, call)).toEqual(["claimed", '["c","d"]']);
    expect(lost.hits).toBe(1);
  });
});

describe("K8", () => {
  const call = { operation: "lease", operationId: "1", timeoutMs: patientMs };
  const names = ["notAfterUs", "owner", "leaseMs"] as const;
  const other = { owner: "other", leaseMs: "400" };

  it("K8 after the server's clock went back, a lease lasts no longer than its own length from first sight", async () => {
    await using skew = await ClockSkew.create();
    await using skewed = await RedisServer.start({ env: skew.env });
    const lease = testScript("lease", ["lease"], names);
    const connection = Connection.of(open(skewed));
    await skew.set(3_600_000);
    await connection.run(lease, { lease: "l" }, { owner: "gone", leaseMs: "400" }, call);
    await skew.set(0);
    expect(await connection.run(lease, { lease: "l" }, other, call)).toEqual(["held", "400000"]);
    const startedMs = performance.now();
    await pollUntil(
      "the lease ends",
      async () => (await connection.run(lease, { lease: "l" }, other, call))[0] === "granted",
    );
    expect(performance.now() - startedMs).toBeGreaterThan(350);
  });

  it("K8 counter-test: a lease whose stored end is believed locks everybody out for as long as the clock went back", async () => {
    const lease = testScript("lease-trusting", ["lease"], names);
    const connection = Connection.of(open(server));
    const endUs = Math.floor((await serverMs()) + 3_600_000) * 1_000;
    await server.call("HSET", "l", "owner", "gone", "endUs", String(endUs), "lengthUs", "400000");
    const [tag, leftUs] = await connection.run(lease, { lease: "l" }, other, call);
    expect(tag).toBe("held");
    expect(Number(leftUs)).toBeGreaterThan(3_500_000_000);
  });
});
