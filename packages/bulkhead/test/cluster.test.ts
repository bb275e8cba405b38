/** Permits and a shared breaker on a Redis Cluster, with clients of both major versions of ioredis: one slot for each, sharded hints. */
import type { RedisLike } from "@holdfast/core";
import { pollUntil, RedisCluster, RedisServer } from "@holdfast/testkit";
import { Cluster, Redis } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Bulkhead, DistributedBulkhead, SharedBreaker } from "../src/index.ts";
import { handWork, watch } from "./work.ts";

type Client = RedisLike & { disconnect(): void };

let cluster: RedisCluster;
let server: RedisServer;
const clients: Client[] = [];
const closing: AsyncDisposable[] = [];

beforeAll(async () => {
  [cluster, server] = await Promise.all([RedisCluster.start({ replicasPerMaster: 0 }), RedisServer.start()]);
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one[Symbol.asyncDispose]()));
  for (const client of clients.splice(0)) client.disconnect();
});
afterAll(() => Promise.all([cluster.stop(), server.stop()]));

const places: Readonly<Record<string, () => Client>> = {
  "ioredis 6, Cluster": () => new Cluster(cluster.addresses),
  "ioredis 5, Cluster": () => new Cluster5(cluster.addresses),
  "ioredis 5, one server": () => new Redis5(server.url),
  "ioredis 6, one server": () => new Redis(server.url),
};

function clientAt(place: string): Client {
  const client = (places[place] as () => Client)();
  (client as unknown as Redis).on("error", () => undefined);
  clients.push(client);
  return client;
}

function permitsAt(place: string, name: string): DistributedBulkhead {
  const one = new DistributedBulkhead(clientAt(place), name, {
    concurrencyMax: 4,
    timeoutMs: 50_000,
    commandTimeoutMs: 20_000,
    leaseMs: 60_000,
    // Only a hint is quick.
    pollMs: 50_000,
  });
  closing.push(one);
  return one;
}

const until = (what: string, probe: () => boolean): Promise<unknown> =>
  pollUntil(what, async () => probe(), { timeoutMs: 30_000 });

describe.each(Object.keys(places))("%s", (place) => {
  it("B7 one limit over two processes, on names in many slots; permits wander by hints", async () => {
    const names = Array.from({ length: 6 }, (_, index) => `payments-${index}`);
    await Promise.all(
      names.map(async (name) => {
        const [ann, bob] = [permitsAt(place, name), permitsAt(place, name)];
        let running = 0;
        let most = 0;
        const work = async (): Promise<void> => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running -= 1;
        };
        await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? ann : bob).run(work)));
        expect(most).toBeLessThanOrEqual(4);
        expect(ann.snapshot().held + bob.snapshot().held).toBeLessThanOrEqual(4);
      }),
    );
  });

  it("B7 what one process gives back another one gets, long before its next poll", async () => {
    const [ann, bob] = [permitsAt(place, "handed"), permitsAt(place, "handed")];
    const works = Array.from({ length: 4 }, () => handWork());
    for (const work of works) watch(ann.run(() => work.promise));
    await until("ann has all permits", () => ann.snapshot().inFlight === 4);
    const waiting = watch(bob.run(({ resource, token }) => Promise.resolve({ resource, token })));
    await until("ann knows that bob waits", () => ann.snapshot().limit < 4);
    for (const work of works) work.resolve("done");
    await until("bob has had its turn", () => waiting.done);
    expect(waiting.value).toMatchObject({ resource: "bulkhead:handed", token: expect.any(Number) as number });
  });

  it("B4 a breaker that opens in one process is open in another", async () => {
    const made = ["ann", "bob"].map(() => {
      const shared = new SharedBreaker(clientAt(place), "payments", { pollMs: 60_000, commandTimeoutMs: 20_000 });
      closing.push(shared);
      return { shared, one: new Bulkhead("payments", { breaker: { callsMin: 2, openMs: 60_000, shared } }) };
    });
    await Promise.all(made.map(({ shared }) => shared.ready()));
    const [ann, bob] = made.map(({ one }) => one) as [Bulkhead, Bulkhead];
    for (let call = 0; call < 2; call += 1)
      await ann.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
    expect(ann.snapshot().state).toBe("open");
    await until("bob has heard of it", () => bob.snapshot().state === "open");
  });
});
