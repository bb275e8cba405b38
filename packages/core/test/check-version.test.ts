/** What checkServer says about a server's age: a real server's INFO, with the version of another one in it. */
import { RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkServer, UnsafeServerError, type RedisLike } from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";

const open = openClients();
let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ aof: true });
});
afterAll(() => server.stop());

/** A client of a server that says it is older or newer than it is. */
function clientOf(version: string): RedisLike {
  const client = open(server);
  const call = async (command: string, args: string[]): Promise<unknown> => {
    const reply: unknown = await client.call(command, args);
    return typeof reply === "string" ? reply.replace(/^redis_version:.*$/mu, `redis_version:${version}`) : reply;
  };
  return new Proxy(client, {
    get: (target, name) => {
      if (name === "call") return call;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

describe("the version of a server", () => {
  it.each(["2.8.24", "6.2.14", "6.9.240"])("%s is a danger, by name", async (version) => {
    const { version: seen, findings } = await checkServer(clientOf(version), { commandTimeoutMs: patientMs });
    expect(seen).toBe(version);
    expect(findings).toMatchObject([{ severity: "danger", topic: "version" }]);
    expect(findings[0]?.message).toContain(`Redis ${version} is too old`);
    const error = await failure(checkServer(clientOf(version), { commandTimeoutMs: patientMs, strict: true }));
    expect(error).toBeInstanceOf(UnsafeServerError);
  });

  it.each(["7.0.0", "7.0.15", "7.10.1", "8.2.0", "10.0.0"])("%s is none", async (version) => {
    const report = await checkServer(clientOf(version), { commandTimeoutMs: patientMs, strict: true });
    expect(report).toMatchObject({ version, findings: [] });
  });
});
