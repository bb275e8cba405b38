import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FencedOutbox } from "../src/fenced-outbox.ts";
import { outboxKey, type Mail } from "../src/mailing.ts";
import { PlainOutbox } from "../src/plain-outbox.ts";

const JOB = "12:00";

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

function mailOf(replica: string, customer: number): Mail {
  return { hourMs: 0, customer, replica };
}

async function sentFrom(prefix: string): Promise<string[]> {
  const mails = await redis.lrange(outboxKey(prefix), 0, -1);
  return mails.map((text) => JSON.parse(text) as Mail).map(({ replica, customer }) => `${replica} ${customer}`);
}

describe("the outbox of a run that was taken over", () => {
  /** The attempt of the scheduler with this token. */
  function attempt(prefix: string, token: number): FencedOutbox {
    const writer = { resource: "scheduler:billing/reminders", token };
    return new FencedOutbox(redis, writer, { prefix, commandTimeoutMs: 60_000 });
  }

  it("takes no mail from it any more, from the first question of its successor on", async () => {
    const token = Date.now() * 1_000;
    const [paused, successor] = [attempt("fenced", token), attempt("fenced", token + 1)];
    expect(await paused.next(JOB)).toBe(0);
    await paused.put(JOB, mailOf("paused", 0));
    expect(await successor.next(JOB)).toBe(1);
    await expect(paused.put(JOB, mailOf("paused", 1))).rejects.toMatchObject({ name: "StaleTokenError" });
    await expect(paused.next(JOB)).rejects.toMatchObject({ name: "StaleTokenError" });
    await successor.put(JOB, mailOf("successor", 1));
    expect(await sentFrom("fenced")).toEqual(["paused 0", "successor 1"]);
  });

  it("counter-test: takes its mail a second time when it is asked for no token", async () => {
    const [paused, successor] = [new PlainOutbox(redis, "plain"), new PlainOutbox(redis, "plain")];
    await paused.put(JOB, mailOf("paused", 0));
    expect(await successor.next(JOB)).toBe(1);
    await paused.put(JOB, mailOf("paused", 1));
    await successor.put(JOB, mailOf("successor", 1));
    expect(await sentFrom("plain")).toEqual(["paused 0", "paused 1", "successor 1"]);
  });
});
