/** How a worker's two lanes share what there is to do, and when they are busy. */
import { systemClock } from "@holdfast/core";
import { RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Lane } from "../src/lane.ts";
import { claim } from "../src/scripts.generated.ts";
import type { ShardAccess } from "../src/shard-access.ts";
import { Desk, failure, freshName, Gate, many } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** A claim as it left the client. */
interface SentClaim {
  readonly lane: string;
  readonly limit: number;
  readonly ackCount: number;
}

/** Where the arguments begin: after the program, the number of keys and the keys. */
const argumentsAt = 2 + claim.keys.length;

/** Tells of each claim of a client when it is sent, and when its answer has just arrived, before the worker hears of it. */
function watchClaims(redis: Redis, onSent: (sent: SentClaim) => void, onAnswered: () => void = () => undefined): void {
  const call = redis.call.bind(redis) as (command: string, args: (string | number)[]) => Promise<unknown>;
  const watched = (command: string, args: (string | number)[]): Promise<unknown> => {
    const reply = call(command, args);
    if (args[0] !== claim.sha1 && args[0] !== claim.source) return reply;
    const named = new Map(claim.args.map((name, index) => [name as string, args[argumentsAt + index]]));
    onSent({
      lane: String(named.get("lane")),
      limit: Number(named.get("limit")),
      ackCount: Number(named.get("ackCount")),
    });
    reply.then(onAnswered, () => undefined);
    return reply;
  };
  Object.assign(redis, { call: watched });
}

describe("lanes", () => {
  it("a worker is not idle from the arrival of a claim's answer until its handlers have begun, at no step in between", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const timer = desk.timerOn(redis, freshName());
    await timer.schedule({ id: "a", afterMs: 0 });
    const [gate, began] = [new Gate(), new Gate()];
    const worker = timer.worker(async () => {
      began.open();
      await gate.opened;
    });
    let asked = 0;
    let foundIdle = 0;
    const idles: Promise<unknown>[] = [];
    /** More steps than the answer takes from the client to the worker. */
    const steps = 50;
    const lookAtEachStep = async (): Promise<void> => {
      for (let step = 0; step < steps; step += 1) {
        asked += 1;
        idles.push(worker.idle().then(() => (foundIdle += 1)));
        await Promise.resolve();
      }
    };
    watchClaims(
      redis,
      () => undefined,
      () => void lookAtEachStep(),
    );
    await worker.start();
    await began.opened;
    // Another round trip: by then, whoever found it idle has said so.
    await timer.stats();
    expect(asked).toBeGreaterThanOrEqual(steps);
    expect(foundIdle).toBe(0);
    gate.open();
    await Promise.all(idles);
    await worker.stop({ graceMs: 1_000 });
  });

  it("in a burst two lanes ask for equal parts of the places and the batch ahead, and acknowledge as much", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const timer = desk.timerOn(redis, freshName());
    const [count, concurrencyMax, batch] = [5_000, 10, 100];
    await timer.scheduleMany(many(count));
    const sent: SentClaim[] = [];
    const worker = timer.worker({ concurrencyMax }, () => undefined);
    // What is still due then is more than what is under way: the burst is not over.
    watchClaims(redis, (one) => worker.counts().fired < count - 3 * batch && sent.push(one));
    await worker.start();
    await worker.idle();
    const part = (concurrencyMax + batch) / 2;
    const lanes = Map.groupBy(sent, ({ lane }) => lane);
    expect(lanes.size).toBe(2);
    for (const ofLane of lanes.values()) {
      expect(Math.max(...ofLane.map(({ limit }) => limit))).toBe(part);
      expect(Math.max(...ofLane.map(({ ackCount }) => ackCount))).toBeLessThanOrEqual(part);
    }
    await worker.stop({ graceMs: 1_000 });
  });

  it("T3 K7 the leases of a claim that was sent again count from its first sending", async () => {
    let nowMs = 1_000;
    const clock = { ...systemClock, monotonicMs: () => nowMs, wallMs: () => nowMs };
    const outcomes = [new Error("no answer"), new Error("no answer"), "outrun"];
    const run = async (): Promise<unknown> => {
      nowMs += 500;
      const outcome = outcomes.shift();
      if (outcome instanceof Error) throw outcome;
      return outcome;
    };
    const lane = new Lane({ name: "t", connection: { clock }, run } as unknown as ShardAccess, 0, "w.0");
    const request = { limit: 1, leaseMs: 5_000, acknowledged: [] };
    for (const _ of [1, 2]) expect((await failure(lane.send(request))).message).toBe("no answer");
    expect((await lane.send(request)).sentAt.monotonicMs).toBe(1_000);
    // The next one is another claim.
    outcomes.push("outrun");
    expect((await lane.send(request)).sentAt.monotonicMs).toBe(2_500);
  });
});
