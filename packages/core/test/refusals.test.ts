/** What servers that refuse look like to the caller: typed errors within the timeout, with the right effect, and nothing half done. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection } from "../src/index.ts";
import { refusal, replyErrorCode } from "../src/refusal.ts";
import { failure, openClients, patientMs } from "./clients.ts";
import { apply, peek } from "./test-script.ts";

const keys = { count: "{k}count", record: "{k}record" };
const call = { operation: "apply counter", operationId: "op", timeoutMs: patientMs };
const open = openClients();

/** Runs `apply` and answers the error, which comes in time. */
async function refused(connection: Connection, timeoutMs: number = patientMs): Promise<Error> {
  using watch = Stopwatch.start();
  const error = await failure(connection.run(apply, keys, { operationId: "op" }, { ...call, timeoutMs }));
  expect(watch.ranMs).toBeLessThan(Math.min(timeoutMs, 1_000) + 1_000);
  return error;
}

describe("a server that refuses", () => {
  let server: RedisServer;

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(() => server.call("FLUSHALL"));

  it("by READONLY is unavailable", async () => {
    const connection = Connection.of(open(server));
    await server.call("REPLICAOF", "127.0.0.1", 1);
    expect(await refused(connection)).toMatchObject({
      name: "RedisUnavailableError",
      code: "REDIS_UNAVAILABLE",
      reason: "READONLY",
      effect: "none",
    });
    await server.call("REPLICAOF", "NO", "ONE");
    expect(await connection.run(apply, keys, { operationId: "op" }, call)).toEqual(["applied", 1, "op"]);
  });

  it("by OOM is unavailable", async () => {
    const connection = Connection.of(open(server));
    await server.call("CONFIG", "SET", "maxmemory", 1);
    expect(await refused(connection)).toMatchObject({ name: "RedisUnavailableError", reason: "OOM", effect: "none" });
    await server.call("CONFIG", "SET", "maxmemory", 0);
    expect(await server.call("EXISTS", keys.count, keys.record)).toBe(0);
  });

  it("by NOREPLICAS is unavailable", async () => {
    const connection = Connection.of(open(server));
    await server.call("CONFIG", "SET", "min-replicas-to-write", 1);
    expect(await refused(connection)).toMatchObject({ name: "RedisUnavailableError", reason: "NOREPLICAS" });
    await server.call("CONFIG", "SET", "min-replicas-to-write", 0);
  });

  it("by MISCONF, since it could not save to disk, is unavailable, writes nothing, and serves again by itself", async () => {
    await using own = await RedisServer.start({ config: { save: "3600 1000000" } });
    const connection = Connection.of(open(own));
    const [, directory = ""] = (await own.call("CONFIG", "GET", "dir")) as string[];
    const [, file = ""] = (await own.call("CONFIG", "GET", "dbfilename")) as string[];
    const save = (status: "ok" | "err"): Promise<unknown> =>
      pollUntil(`the last save was ${status}`, async () => {
        await own.call("BGSAVE").catch(() => undefined);
        return new RegExp(`rdb_last_bgsave_status:${status}`).test(String(await own.call("INFO", "persistence")));
      });
    // A directory in the place of the dump, which it cannot replace.
    await mkdir(join(directory, file, "in the way"), { recursive: true });
    await save("err");
    expect(await refused(connection)).toMatchObject({
      name: "RedisUnavailableError",
      code: "REDIS_UNAVAILABLE",
      reason: "MISCONF",
      effect: "none",
    });
    expect(await own.call("EXISTS", keys.count, keys.record)).toBe(0);
    expect(await connection.run(peek, { value: "x" }, {}, call)).toEqual([expect.anything(), null]);
    await rm(join(directory, file), { recursive: true });
    await save("ok");
    expect(await connection.run(apply, keys, { operationId: "op" }, call)).toEqual(["applied", 1, "op"]);
  });

  it("by BUSY is unavailable", async () => {
    const connection = Connection.of(open(server));
    await connection.run(apply, { ...keys, record: "{k}0" }, { operationId: "0" }, call);
    await server.call("CONFIG", "SET", "busy-reply-threshold", 1);
    const busy = server.call("EVAL", "while true do end", 0);
    busy.catch(() => undefined);
    await pollUntil("the server is busy", async () =>
      server.call("PING").then(
        () => false,
        () => true,
      ),
    );
    expect(await refused(connection)).toMatchObject({ name: "RedisUnavailableError", reason: "BUSY", effect: "none" });
    await server.call("SCRIPT", "KILL");
    await failure(busy);
    await server.call("CONFIG", "SET", "busy-reply-threshold", 5_000);
  });

  it("by WRONGTYPE under our key is a refusal without effect", async () => {
    await server.call("RPUSH", keys.record, "other program");
    expect(await refused(Connection.of(open(server)))).toMatchObject({
      name: "RedisRefusedError",
      code: "REDIS_REFUSED",
      reason: "WRONGTYPE",
      effect: "none",
      message: expect.stringMatching(/^apply counter: Redis refused with WRONGTYPE: another program uses the key/),
    });
  });

  it("by NOPERM for the command is a refusal without effect", async () => {
    await server.call("ACL", "SETUSER", "weak", "reset", "on", ">p", "~*", "&*", "+@all", "-evalsha", "-eval");
    const connection = Connection.of(open(server, { username: "weak", password: "p" }));
    expect(await refused(connection)).toMatchObject({ name: "RedisRefusedError", reason: "NOPERM", effect: "none" });
  });

  it("by NOPERM for the key is a refusal without effect", async () => {
    await server.call("ACL", "SETUSER", "weak", "reset", "on", ">p", "~other*", "&*", "+@all");
    const connection = Connection.of(open(server, { username: "weak", password: "p" }));
    expect(await refused(connection)).toMatchObject({ name: "RedisRefusedError", reason: "NOPERM", effect: "none" });
  });

  it("by NOPERM inside the script, after a write, says that the write may stand, and it does", async () => {
    await server.call("ACL", "SETUSER", "weak", "reset", "on", ">p", "~*", "&*", "+@all", "-set");
    const connection = Connection.of(open(server, { username: "weak", password: "p" }));
    expect(await refused(connection)).toMatchObject({
      name: "RedisRefusedError",
      reason: "NOPERM",
      effect: "possible",
    });
    expect(await server.call("GET", keys.count)).toBe("1");
  });

  it("the question for the time is unavailable or refused, never unknown", async () => {
    await server.call("ACL", "SETUSER", "weak", "reset", "on", ">p", "~*", "&*", "+@all", "-time");
    const connection = Connection.of(open(server, { username: "weak", password: "p" }));
    expect(await refused(connection)).toMatchObject({ name: "RedisRefusedError", reason: "NOPERM", effect: "none" });
  });
});

describe("a server that lets nobody in", () => {
  let server: RedisServer;

  beforeAll(async () => {
    server = await RedisServer.start({ config: { requirepass: "secret" } });
  });
  afterAll(() => server.stop());

  it.each([
    ["NOAUTH", {}],
    ["WRONGPASS", { password: "wrong" }],
  ] as const)("is unavailable by %s", async (reason, credentials) => {
    const connection = Connection.of(open({ url: `redis://127.0.0.1:${server.port}` }, credentials));
    await pollUntil(`${reason} is heard before the call gives up`, async () => {
      const error = await refused(connection, 400);
      expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
      return "reason" in error && error.reason === reason;
    });
  });

  it("is refused by NOAUTH when the client does not look", async () => {
    const client = open({ url: `redis://127.0.0.1:${server.port}` }, { enableReadyCheck: false });
    const connection = Connection.of(client);
    await pollUntil("NOAUTH is heard before the call gives up", async () => {
      const error = await refused(connection, 400);
      expect(error).toMatchObject({ effect: "none" });
      return error.message.includes("NOAUTH");
    });
  });
});

describe("a server that is loading", () => {
  /** A server that loads what it holds until the returned function is called, which resolves when it has. */
  async function load(server: RedisServer): Promise<() => Promise<void>> {
    await server.call("DEBUG", "POPULATE", 2_000, "filler");
    await server.call("SAVE");
    await server.call("CONFIG", "SET", "key-load-delay", 5_000);
    await server.call("CONFIG", "SET", "loading-process-events-interval-bytes", 1_024);
    const reload = server.call("DEBUG", "RELOAD", "NOSAVE");
    const isLoading = async (): Promise<boolean> =>
      /^loading:1/m.test(String(await server.call("INFO", "persistence")));
    await pollUntil("the server loads", isLoading);
    return async () => {
      await server.call("CONFIG", "SET", "key-load-delay", 0);
      await reload;
    };
  }

  it.each([
    ["a client that was connected before", { enableReadyCheck: true }, true, "LOADING", patientMs],
    ["a new client that looks first", { enableReadyCheck: true }, false, "UNREACHABLE", 200],
    ["a new client that does not", { enableReadyCheck: false }, false, "LOADING", patientMs],
  ])("is unavailable to %s, and used when it is up", async (_, options, isEarly, reason, timeoutMs) => {
    await using server = await RedisServer.start({ config: { "enable-debug-command": "yes" } });
    const client = open(server, { ...options, lazyConnect: true });
    const connection = Connection.of(client);
    if (isEarly) await connection.run(peek, { value: "x" }, {}, { operation: "peek", timeoutMs: patientMs });
    const loaded = await load(server);
    const error = await refused(connection, timeoutMs);
    expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none", reason });
    await loaded();
    const retried = connection.run(apply, keys, { operationId: "op" }, call);
    expect(await retried).toEqual(["applied", 1, "op"]);
  });
});

describe("error codes", () => {
  it.each([
    ["WRONGTYPE Operation against a key", "WRONGTYPE"],
    ["ERR Error running script (call to f_x): @user_script:1: WRONGTYPE Operation against a key", "WRONGTYPE"],
    ["ERR Error running script (call to f_x): @user_script: 5: -OOM command not allowed", "OOM"],
    ["ERR The user executing the script can't run this command or subcommand script: x, on @user_script:1.", "NOPERM"],
    ["ERR Error running script (call to f_x): @user_script: 5: -READONLY You can't write", "READONLY"],
    ["ERR unknown command", "ERR"],
    ["no code at all", "ERR"],
  ])("of %j is %s", (message, code) => {
    expect(replyErrorCode(message)).toBe(code);
  });

  it("a client's own failure is unknown unless it was never sent or changes nothing", () => {
    const lost = new Error("Connection is closed.");
    expect(refusal("op", "1", lost)).toMatchObject({ name: "OutcomeUnknownError", cause: lost, effect: "possible" });
    expect(refusal("op", null, lost)).toMatchObject({ name: "RedisUnavailableError", cause: lost, effect: "none" });
    const unsent = new Error("Stream isn't writeable and enableOfflineQueue options is false");
    expect(refusal("op", "1", unsent)).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    // Said of the repeat, after the first one had been sent.
    expect(refusal("op", "1", unsent, true)).toMatchObject({ name: "OutcomeUnknownError", effect: "possible" });
    expect(refusal("op", "1", "a text")).toMatchObject({ name: "OutcomeUnknownError" });
  });

  it.each(["TRYAGAIN", "MOVED", "ASK", "CLUSTERDOWN"])(
    "redirections by %s without end have done nothing, unless a connection was lost on the way",
    (reason) => {
      const cause = new Error(`Too many Cluster redirections. Last error: ReplyError: ${reason} 1 127.0.0.1:1`);
      expect(refusal("op", "1", cause, false)).toMatchObject({ name: "RedisUnavailableError", reason, effect: "none" });
      expect(refusal("op", "1", cause, true)).toMatchObject({ name: "OutcomeUnknownError", effect: "possible" });
      const closed = new Error("Too many Cluster redirections. Last error: Error: Connection is closed.");
      expect(refusal("op", "1", closed, false)).toMatchObject({ name: "OutcomeUnknownError" });
    },
  );
});
