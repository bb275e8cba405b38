import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bulkhead, DistributedBulkhead, SharedBreaker } from "../src/index.ts";

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});

afterAll(async () => {
  await server.stop();
});

it("a user with exactly the rights of the README shares permits and a breaker", async () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const line = /^ACL SETUSER holdfast on >change-me (.+)$/mu.exec(readme)?.[1];
  await server.call("ACL", "SETUSER", "exact", "reset", "on", ">p", ...(line as string).split(" "));
  const redis = new Redis(server.url, { username: "exact", password: "p" });
  const shared = new SharedBreaker(redis, "payments", { pollMs: 100, commandTimeoutMs: 60_000 });
  // A machine that stands still takes none of these for lost.
  const options = { concurrencyMax: 2, pollMs: 20, timeoutMs: 60_000, leaseMs: 60_000, commandTimeoutMs: 60_000 };
  const one = new DistributedBulkhead(redis, "payments", options);
  const other = new DistributedBulkhead(redis, "payments", options);
  const local = new Bulkhead("payments", { breaker: { callsMin: 1, openMs: 50, shared } });
  await Promise.all(Array.from({ length: 20 }, (_, call) => (call % 2 === 0 ? one : other).run(() => call)));
  await local.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
  expect(local.snapshot().state).not.toBe("closed");
  await pollUntil(
    "the state is shared",
    async () => (await server.call("EXISTS", "holdfast:{breaker:payments}:state")) === 1,
  );
  await pollUntil("it probes and closes", async () => local.run(() => true).catch(() => false));
  await pollUntil(
    "Redis knows",
    async () => (await server.call("HGET", "holdfast:{breaker:payments}:state", "state")) === "closed",
  );
  await Promise.all([one.close(), other.close(), shared.close()]);
  expect(await server.call("HLEN", "holdfast:{bulkhead:payments}:pods")).toBe(1);
  redis.disconnect();
});
