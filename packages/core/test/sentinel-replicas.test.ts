/** What `min-replicas-to-write` is recommended for: an old master that comes back takes no writes that the failover has made worthless. */
import { pollUntil, RedisSentinel } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkServer, Connection, type HoldfastError } from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

const open = openClients();
let group: RedisSentinel;
beforeAll(async () => {
  // No failover but the one that is meant, also where the machine stands still for some seconds.
  const config = { "min-replicas-to-write": 1, "min-replicas-max-lag": 1 };
  group = await RedisSentinel.start({ downAfterMs: 4_000, config });
});
afterAll(() => group.stop());

function add(connection: Connection, id: string): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${id}` };
  const call = { operation: "add", operationId: id, timeoutMs: patientMs };
  return connection.run(apply, keys, { operationId: id }, call);
}

// Without the setting it takes them until Sentinel has told it: sentinel-pause.test.ts.
it("an old master with min-replicas-to-write refuses what comes after its replicas have left, with no effect", async () => {
  const old = await group.currentMaster();
  // A client that hears nothing of the failover.
  const connection = Connection.of(open(old));
  await pollUntil("the master has its replicas", () => add(connection, "before"), { timeoutMs: 60_000 });
  const replicas = group.servers.filter((server) => server !== old);
  await pollUntil("the replicas have the write", async () => {
    const found = await Promise.all(replicas.map((replica) => replica.call("EXISTS", "{k}record:before")));
    return found.every((count) => count === 1);
  });
  const { findings } = await checkServer(connection.redis, { commandTimeoutMs: patientMs });
  expect(findings.filter(({ topic }) => topic === "replication")).toEqual([]);

  old.pause();
  const next = await group.waitForFailover(old, 60_000);
  for (const sentinel of group.sentinelServers) sentinel.pause();
  old.resume();
  let tries = 0;
  const isRefused = async (): Promise<boolean> => {
    tries += 1;
    const error = (await failure(add(connection, `after ${tries}`))) as HoldfastError & { reason?: string };
    return error.reason === "NOREPLICAS" && error.effect === "none";
  };
  await pollUntil("it takes no more writes", isRefused, { timeoutMs: 60_000 });
  const count = await old.call("GET", "{k}count");
  for (let again = 0; again < 50; again += 1) expect(await isRefused()).toBe(true);
  expect(await old.call("GET", "{k}count")).toBe(count);

  for (const sentinel of group.sentinelServers) sentinel.resume();
  await group.ready();
  expect(await next.call("EXISTS", "{k}record:before")).toBe(1);
});
