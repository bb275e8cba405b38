/** Each finding on a server that is really so. */
import { ClockSkew, pollUntil, RedisServer, type RedisServerOptions, Stopwatch } from "@holdfast/testkit";
import type { RedisOptions } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  checkServer,
  systemClock,
  UnsafeServerError,
  type CheckServerOptions,
  type Clock,
  type ServerFinding,
} from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";

const open = openClients();
/** Checks that have to succeed, however busy the machine is. */
const patient = { commandTimeoutMs: patientMs };

async function findingsOf(server: RedisServer, options: RedisOptions = {}): Promise<readonly ServerFinding[]> {
  return (await checkServer(open(server, options), patient)).findings;
}

const titles = (findings: readonly ServerFinding[]): string[] =>
  findings.map(({ severity, topic }) => `${severity} ${topic}`);

describe("checkServer", () => {
  it("finds nothing on a server that is set up for coordination", async () => {
    await using server = await RedisServer.start({ aof: true });
    const startedMs = performance.now();
    const report = await checkServer(open(server), { ...patient, strict: true });
    expect(report).toMatchObject({ role: "master", version: expect.stringMatching(/^\d+\.\d+\.\d+/), findings: [] });
    // Both read the same clock, one after the other.
    expect(Math.abs(report.clockOffsetMs ?? Infinity)).toBeLessThan(performance.now() - startedMs + 2);
  });

  it("does not take a slow answer for clocks that differ", async () => {
    await using server = await RedisServer.start({ aof: true });
    for (const slow of [5_000, 3_000]) {
      let lateMs = 0;
      const clock: Clock = {
        ...systemClock,
        wallMs: () => {
          lateMs += slow;
          return systemClock.wallMs() + lateMs - slow;
        },
      };
      expect(titles((await checkServer(open(server), { ...patient, clock })).findings)).toEqual([]);
    }
  });

  it.each<[string, RedisServerOptions, string[]]>([
    [
      "evicts keys now",
      { aof: true, config: { "maxmemory-policy": "allkeys-lru", maxmemory: "100mb" } },
      ["danger eviction"],
    ],
    [
      "evicts keys with a ttl, which are ours",
      { aof: true, config: { "maxmemory-policy": "volatile-ttl", maxmemory: "100mb" } },
      ["danger eviction"],
    ],
    [
      "would evict keys once it has a limit",
      { aof: true, config: { "maxmemory-policy": "allkeys-lru" } },
      ["warning eviction"],
    ],
    ["forgets everything with a restart", {}, ["warning persistence"]],
  ])("says when the server %s", async (_, options, expected) => {
    await using server = await RedisServer.start(options);
    expect(titles(await findingsOf(server))).toEqual(expected);
  });

  it("says when a master does not ask for replicas, and nothing when it does", async () => {
    await using master = await RedisServer.start({ aof: true, config: { "repl-diskless-sync-delay": 0 } });
    await using replica = await RedisServer.start({ aof: true });
    await replica.call("REPLICAOF", master.host, master.port);
    await pollUntil("the replica is linked", async () =>
      /state=online/.test(String(await master.call("INFO", "replication"))),
    );
    expect(titles(await findingsOf(master))).toEqual(["warning replication"]);
    await master.call("CONFIG", "SET", "min-replicas-to-write", 1);
    expect(titles(await findingsOf(master))).toEqual([]);
    expect(titles(await findingsOf(replica))).toEqual(["danger role"]);
  });

  it("says by how much the clocks differ, in both directions", async () => {
    await using skew = await ClockSkew.create();
    await using server = await RedisServer.start({ aof: true, env: skew.env });
    for (const offsetMs of [60_000, -60_000]) {
      await skew.set(offsetMs);
      const startedMs = performance.now();
      const report = await checkServer(open(server), patient);
      expect(titles(report.findings)).toEqual(["warning clock"]);
      expect(Math.abs((report.clockOffsetMs ?? 0) + offsetMs)).toBeLessThan(performance.now() - startedMs + 2);
    }
  });

  it("says which options of the client are dangerous", async () => {
    await using server = await RedisServer.start({ aof: true });
    const findings = await findingsOf(server, { autoResendUnfulfilledCommands: false });
    expect(titles(findings)).toEqual(["warning client"]);
  });

  describe("with strict", () => {
    it("throws for a danger and names it", async () => {
      await using server = await RedisServer.start({
        config: { "maxmemory-policy": "allkeys-lru", maxmemory: "100mb" },
      });
      const error = await failure(checkServer(open(server), { ...patient, strict: true }));
      expect(error).toBeInstanceOf(UnsafeServerError);
      expect(error).toMatchObject({ code: "UNSAFE_SERVER", findings: [{ severity: "danger", topic: "eviction" }] });
      expect(error.message).toMatch(/^the Redis server is not safe for coordination: maxmemory-policy is allkeys-lru/);
    });

    it("does not throw for a warning", async () => {
      await using server = await RedisServer.start();
      await expect(checkServer(open(server), { ...patient, strict: true })).resolves.toMatchObject({ role: "master" });
    });
  });

  describe("of a user with few rights", () => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await RedisServer.start({ aof: true });
    });
    afterAll(() => server.stop());

    it.each([
      ["INFO", "-info", { version: null, role: null, clockOffsetMs: expect.any(Number) }],
      ["TIME", "-time", { version: expect.any(String), role: "master", clockOffsetMs: null }],
    ])("says what it could not read: %s", async (_, right, expected) => {
      await server.call("ACL", "SETUSER", "weak", "reset", "on", ">p", "~*", "&*", "+@all", right);
      const report = await checkServer(open(server, { username: "weak", password: "p", enableReadyCheck: false }), {
        ...patient,
        strict: true,
      });
      expect(report).toMatchObject(expected);
      expect(titles(report.findings)).toEqual(["info access"]);
      expect(report.findings[0]?.message).toMatch(/is not allowed \(NOPERM\), so what it tells is unknown$/);
    });
  });

  it.each<[string, CheckServerOptions, RegExp]>([
    ["no object", 5 as unknown as CheckServerOptions, /options must be an object, got 5/],
    [
      "too short a timeout",
      { commandTimeoutMs: 1 },
      /commandTimeoutMs must be a whole number from 10 to 600000, got 1/,
    ],
  ])("refuses %s", async (_, options, message) => {
    const client = open({ url: "redis://127.0.0.1:1" }, { lazyConnect: true });
    await expect(checkServer(client, options)).rejects.toThrow(message);
  });

  it("fails typed within its timeout when the server is away or stands still", async () => {
    const away = open({ url: "redis://127.0.0.1:1" });
    using watch = Stopwatch.start();
    expect(await failure(checkServer(away, { commandTimeoutMs: 100 }))).toMatchObject({
      name: "RedisUnavailableError",
      effect: "none",
    });
    await using server = await RedisServer.start();
    const client = open(server);
    await client.ping();
    server.pause();
    expect(await failure(checkServer(client, { commandTimeoutMs: 100 }))).toMatchObject({
      name: "RedisUnavailableError",
    });
    server.resume();
    expect(watch.ranMs).toBeLessThan(3_000);
  });
});
