/** Three or more independent servers, each behind a proxy, with clients and quorum locks that are closed after each test. */
import { ClockSkew, FaultProxy, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { QuorumLock } from "../src/redlock/index.ts";
import type { QuorumLockOptions } from "../src/redlock/index.ts";
import { keysWithoutEnd } from "./real-server.ts";

/** What the tests of a file work with. */
export interface QuorumServers {
  readonly servers: readonly RedisServer[];
  readonly proxies: readonly FaultProxy[];
  /** One clock per server. */
  readonly skews: readonly ClockSkew[];
  /** Clients of the servers themselves, for looking. */
  readonly direct: readonly Redis[];
  /** New clients by way of the proxies, closed after the test. */
  clients(): Redis[];
  /** A lock on clients of its own, closed after the test. It waits long for its nodes unless it is told otherwise. */
  lock(options?: QuorumLockOptions): QuorumLock;
}

/** Starts the servers for the tests of a file. */
export function useQuorum(size = 3): QuorumServers {
  const servers: RedisServer[] = [];
  const proxies: FaultProxy[] = [];
  const skews: ClockSkew[] = [];
  const direct: Redis[] = [];
  const opened: Redis[] = [];
  const locks: QuorumLock[] = [];
  beforeAll(async () => {
    for (let index = 0; index < size; index += 1) {
      const skew = await ClockSkew.create();
      const server = await RedisServer.start({ env: skew.env });
      skews.push(skew);
      servers.push(server);
      proxies.push(await FaultProxy.start(server.address));
      const client = new Redis(server.url);
      client.on("error", () => undefined);
      direct.push(client);
    }
  });
  afterEach(async () => {
    for (const proxy of proxies) await proxy.heal();
    for (const skew of skews) await skew.set(0);
    await Promise.all(locks.splice(0).map((lock) => lock.close()));
    for (const client of opened.splice(0)) client.disconnect();
    expect(await Promise.all(direct.map((client) => keysWithoutEnd(client)))).toEqual(direct.map(() => []));
    await Promise.all(direct.map((client) => client.flushall()));
  });
  afterAll(async () => {
    for (const client of direct) client.disconnect();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await Promise.all(servers.map((server) => server.stop()));
    await Promise.all(skews.map((skew) => skew.remove()));
  });
  const quorum: QuorumServers = {
    servers,
    proxies,
    skews,
    direct,
    clients: () => {
      const made = proxies.map((proxy) => {
        const client = new Redis(proxy.url);
        client.on("error", () => undefined);
        return client;
      });
      opened.push(...made);
      return made;
    },
    lock: (options) => {
      const lock = new QuorumLock(quorum.clients(), { nodeTimeoutMs: 30_000, ...options });
      locks.push(lock);
      return lock;
    },
  };
  return quorum;
}
