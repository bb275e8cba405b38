/**
 * Random histories of fifty calls against a model, on real servers, with lost and late replies, retries, expiry, seeds on a condition and
 * records that take turns; a part of them with a spread sku, and on a Cluster.
 */
import { FaultProxy, RedisServer } from "@holdfast/testkit";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Inventory } from "../src/index.ts";
import { patient } from "./clients.ts";
import { Run, type Lane, type Reached, type Setting } from "./model/run.ts";
import { everything, sequences, type Circumstances } from "./model/steps.ts";
import { usePlace, type Client } from "./places.ts";

const stepsPerRun = 50;
const spread = { a: 3 };

let names = 0;

interface Series {
  readonly lanes: number;
  readonly runsPerLane: number;
  readonly circumstances: Circumstances;
  readonly setting: () => Promise<Setting>;
}

/** Several lanes of sequences at once. */
async function compare({ lanes, runsPerLane, circumstances, setting }: Series): Promise<Reached & { runs: number }> {
  const reached = { confirmed: 0, expired: 0, lateRequests: 0, lateReplies: 0, seeded: 0, moved: 0, turns: 0, runs: 0 };
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      const own = await setting();
      const property = fc.asyncProperty(sequences(circumstances, stepsPerRun), async (steps) => {
        names += 1;
        reached.runs += 1;
        await new Run(own, reached, `run-${names}`).all(steps);
      });
      await fc.assert(property, { numRuns: runsPerLane, endOnFailure: true });
    }),
  );
  expect(reached.runs).toBe(lanes * runsPerLane);
  expect(reached.confirmed).toBeGreaterThan(reached.runs / 2);
  expect(reached.expired).toBeGreaterThan(reached.runs / 2);
  return reached;
}

/** Every script is known to the server: what is held is the call, and not the question whether it knows the script. */
async function warmUp(client: Client): Promise<void> {
  const warm = new Inventory(client, "warm", patient);
  await warm.restock({ operationId: "k", lines: [{ sku: "a", quantity: 1 }] });
  await warm.extend({ reservationId: "none", operationId: "e", holdMs: 50 });
  await warm.release({ reservationId: "none" });
  await warm.outcome("never");
  await warm.sweep();
  await warm.seed({ a: 1 }, { ifCursor: await warm.cursor() });
}

describe("the model, on one server", () => {
  let server: RedisServer;
  let direct: Redis;
  const open: { proxy: FaultProxy; client: Redis }[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
    direct = new Redis(server.url, { replyMapping: "legacy" });
    await warmUp(direct);
  });
  afterAll(async () => {
    for (const { proxy, client } of open) {
      client.disconnect();
      await proxy.close();
    }
    direct.disconnect();
    await server.stop();
  });

  async function lane(): Promise<Lane> {
    const proxy = await FaultProxy.start(server);
    const client = new Redis(proxy.url, { retryStrategy: () => 1, replyMapping: "legacy" });
    client.on("error", () => undefined);
    open.push({ proxy, client });
    return { proxy, client };
  }

  function struck(): { readonly swallowed: number; readonly repeated: number } {
    const counts = open.map(({ proxy }) => proxy.counts);
    return {
      swallowed: counts.reduce((sum, { swallowed }) => sum + swallowed, 0),
      repeated: counts.reduce((sum, { repeated }) => sum + repeated, 0),
    };
  }

  it("V2 V4 V5 V6 V8 1,000 sequences of 50 calls answer as the model does", { timeout: 600_000 }, async () => {
    const before = struck();
    const reached = await compare({
      lanes: 20,
      runsPerLane: 50,
      circumstances: everything,
      setting: async () => ({ direct, lane: await lane() }),
    });
    for (const kind of ["lateRequests", "lateReplies", "seeded", "moved", "turns"] as const) {
      expect({ kind, reached: reached[kind] > 100 }).toEqual({ kind, reached: true });
    }
    const { swallowed, repeated } = struck();
    expect(swallowed - before.swallowed).toBeGreaterThan(100);
    expect(repeated - before.repeated).toBeGreaterThan(100);
  });

  it("V2 V4 V5 V9 sequences of 50 calls with a spread sku answer as the model does", { timeout: 600_000 }, async () => {
    const before = struck();
    await compare({
      lanes: 8,
      runsPerLane: 8,
      // Calls of a spread inventory are several requests: which of them is late says nothing of the order.
      circumstances: { faults: ["lost", "twice", "twice, first answer"], oneBucket: false },
      setting: async () => ({ direct, lane: await lane(), buckets: spread }),
    });
    expect(struck().swallowed).toBeGreaterThan(before.swallowed);
    expect(struck().repeated).toBeGreaterThan(before.repeated);
  });
});

describe("the model, on a Cluster", () => {
  const place = usePlace("a Cluster");

  it("V2 V4 V5 V6 V8 sequences of 50 calls answer as the model does", { timeout: 600_000 }, async () => {
    await compare({
      lanes: 8,
      runsPerLane: 6,
      circumstances: { faults: [], oneBucket: true },
      setting: async () => ({ direct: place.client, lane: undefined }),
    });
  });

  it("V2 V4 V5 V9 sequences of 50 calls with a spread sku answer as the model does", { timeout: 600_000 }, async () => {
    await compare({
      lanes: 8,
      runsPerLane: 4,
      circumstances: { faults: [], oneBucket: false },
      setting: async () => ({ direct: place.client, lane: undefined, buckets: spread }),
    });
  });
});
