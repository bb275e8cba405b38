/** A consumer that writes and never gets to its acknowledgement. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { StreamConsumer } from "../../src/consumer/index.ts";
import { Idempotency } from "../../src/index.ts";

const { REDIS_URL = "", STREAM = "" } = process.env;
const redis = new Redis(REDIS_URL);
const commands = new Redis(REDIS_URL);
const call = commands.call.bind(commands) as (command: string, args: string[]) => Promise<unknown>;
Object.assign(commands, {
  call: async (command: string, args: string[]) => {
    if (command !== "xack") return call(command, args);
    await redis.rpush(`${STREAM}:unacknowledged`, args[2] ?? "");
    return new Promise(() => undefined);
  },
});
const consumer = new StreamConsumer(
  commands,
  new Idempotency(redis, STREAM, { leaseMs: 200 }),
  {
    stream: STREAM,
    group: "g",
    consumer: "victim",
    pollMs: 10,
    concurrencyMax: 100,
    messageId: ({ fields }) => fields["id"] ?? "",
  },
  async ({ fields }, { downstreamKey }) => {
    await redis.rpush(`${STREAM}:writes`, fields["id"] ?? "");
    await redis.hsetnx(`${STREAM}:rows`, downstreamKey, fields["id"] ?? "");
    if (process.env["HANG"] !== undefined) await new Promise(() => undefined);
  },
);
servePod({});
await consumer.start();
reportReady();
