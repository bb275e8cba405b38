/** Against a real RabbitMQ, where one can be had. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { promisify } from "node:util";
import { Pod, pollUntil } from "@holdfast/testkit";
import { connect } from "amqplib";
import type { Channel, ChannelModel } from "amqplib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { consumeOnceOnly } from "../../src/consumer/index.ts";
import type { AmqpChannel, AmqpMessage } from "../../src/consumer/index.ts";
import type { Attempt } from "../../src/index.ts";
import { gate, rejection, uniqueName, useBench } from "../fixture.ts";

const program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const run = promisify(execFile);

/** Why there is no broker, or null when there is one. */
async function brokerMissing(): Promise<string | null> {
  if (existsSync(program)) return null;
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    return "rabbitmq-server is not installed, and only root may install it";
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  return run("apt-get", ["install", "-y", "--no-install-recommends", "rabbitmq-server"], { env, timeout: 90_000 }).then(
    () => null,
    (error: unknown) => `rabbitmq-server could not be installed: ${String(error).split("\n")[0]}`,
  );
}

const bench = useBench();
const missing = await brokerMissing();
if (missing !== null) console.warn(`RabbitMQ is not tested: ${missing}`);
let pod: Pod | undefined;
let connection: ChannelModel | undefined;
let channel: Channel;
let queue: string;
let acknowledged = 0;

beforeAll(async () => {
  if (missing !== null) return;
  pod = await Pod.start(new URL("broker.pod.ts", import.meta.url));
  const port = await pod.ready<number>({ timeoutMs: 60_000 });
  connection = await pollUntil("RabbitMQ takes connections", () => connect(`amqp://guest:guest@127.0.0.1:${port}`));
}, 180_000);
afterAll(async () => {
  await connection?.close();
  const folder = await pod?.request<string>("folder");
  await pod?.kill();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  if (missing !== null) return undefined;
  channel = await (connection as ChannelModel).createChannel();
  acknowledged = 0;
  const ack = channel.ack.bind(channel);
  channel.ack = (...args) => {
    acknowledged += 1;
    ack(...args);
  };
  queue = uniqueName();
  await channel.assertQueue(queue, { durable: false });
  await channel.prefetch(10);
  return async () => {
    await channel.close().catch(() => undefined);
  };
});

const depth = async (): Promise<number> => (await channel.checkQueue(queue)).messageCount;

describe.runIf(missing === null)("RabbitMQ", () => {
  it("a message that is published twice is processed once, and both are acknowledged", async () => {
    const idempotency = bench.idempotency();
    const seen: string[] = [];
    const consumer = await consumeOnceOnly(channel, queue, { idempotency, requeueAfterMs: 10 }, (message) => {
      seen.push(message.content.toString());
    });
    for (const messageId of ["a", "b", "a", "b", "a"])
      channel.sendToQueue(queue, Buffer.from(messageId), { messageId });
    await pollUntil("all are acknowledged", () => acknowledged === 5);
    await consumer.stop();
    expect(await depth()).toBe(0);
    expect(seen.toSorted()).toEqual(["a", "b"]);
  });

  it("a message whose name cannot be read is told, and comes again, and the consumer goes on", async () => {
    const idempotency = bench.idempotency();
    const failures: string[] = [];
    const processed: string[] = [];
    const options = {
      idempotency,
      requeueAfterMs: 10,
      messageId: ({ content }: { readonly content: Buffer }) => {
        if (content.toString() === "poison" && failures.length < 3) throw new SyntaxError("no JSON");
        return content.toString();
      },
      onFailed: (_: unknown, error: unknown) => failures.push(String(error)),
    };
    const consumer = await consumeOnceOnly(channel, queue, options, (message) => {
      processed.push(message.content.toString());
    });
    for (const content of ["poison", "a"]) channel.sendToQueue(queue, Buffer.from(content));
    await pollUntil("all are acknowledged", () => acknowledged === 2);
    await consumer.stop();
    expect(failures).toEqual(Array.from({ length: 3 }, () => "SyntaxError: no JSON"));
    expect(processed).toEqual(["a", "poison"]);
  });

  it("a message whose handler fails comes again, and the next attempt is told", async () => {
    const idempotency = bench.idempotency();
    const attempts: Attempt[] = [];
    const failures: unknown[] = [];
    const options = { idempotency, requeueAfterMs: 10, onFailed: (_: unknown, error: unknown) => failures.push(error) };
    const consumer = await consumeOnceOnly(channel, queue, options, (_, attempt) => {
      attempts.push(attempt);
      if (attempts.length === 1) throw new Error("after the effect");
    });
    channel.sendToQueue(queue, Buffer.from("x"), { messageId: "m" });
    await pollUntil("it came again", () => attempts.length === 2 && acknowledged === 1);
    await consumer.stop();
    expect(attempts.map(({ number, recovered }) => ({ number, recovered }))).toEqual([
      { number: 1, recovered: false },
      { number: 2, recovered: true },
    ]);
    expect(attempts[0]?.downstreamKey).toBe(attempts[1]?.downstreamKey);
    expect(failures).toHaveLength(1);
    expect(await depth()).toBe(0);
  });

  it("a consumer that loses its channel between its work and its acknowledgement does not make the work twice", async () => {
    const idempotency = bench.idempotency();
    const work = gate<void>();
    let effects = 0;
    const lost = await (connection as ChannelModel).createChannel();
    lost.on("error", () => undefined);
    await consumeOnceOnly(lost, queue, { idempotency }, async () => {
      effects += 1;
      await work.handler();
    });
    channel.sendToQueue(queue, Buffer.from("x"), { messageId: "m" });
    await work.entered;
    await lost.close();
    const outcomes: string[] = [];
    const consumer = await consumeOnceOnly(
      channel,
      queue,
      { idempotency, requeueAfterMs: 20, onFailed: (_, error) => outcomes.push((error as Error).name) },
      () => {
        effects += 1;
      },
    );
    await pollUntil("the redelivery met the running attempt", () => outcomes.includes("InProgressError"));
    work.open();
    await pollUntil("the message is acknowledged", () => acknowledged === 1);
    await consumer.stop();
    expect(effects).toBe(1);
    expect(await depth()).toBe(0);
  });

  it("I7 a message that a fanout exchange has put into two queues is work for the consumers of both, on one instance", async () => {
    const exchange = uniqueName();
    const queues = [uniqueName(), uniqueName()];
    await channel.assertExchange(exchange, "fanout", { durable: false, autoDelete: true });
    const idempotency = bench.idempotency();
    const seen: string[] = [];
    const consumers = [];
    for (const each of queues) {
      await channel.assertQueue(each, { durable: false });
      await channel.bindQueue(each, exchange, "");
      consumers.push(await consumeOnceOnly(channel, each, { idempotency }, () => void seen.push(each)));
    }
    channel.publish(exchange, "", Buffer.from("x"), { messageId: "m".repeat(250) });
    await pollUntil("both are acknowledged", () => acknowledged === 2);
    for (const consumer of consumers) await consumer.stop();
    expect(seen.toSorted()).toEqual(queues.toSorted());
  });

  it("a message without a name is rejected for the dead-letter exchange", async () => {
    const dead = uniqueName();
    await channel.assertQueue(dead, { durable: false });
    const named = uniqueName();
    await channel.assertQueue(named, { durable: false, deadLetterExchange: "", deadLetterRoutingKey: dead });
    const consumer = await consumeOnceOnly(channel, named, { idempotency: bench.idempotency() }, () =>
      expect.unreachable(),
    );
    channel.sendToQueue(named, Buffer.from("who am I"));
    await pollUntil("it is in the dead-letter queue", async () => (await channel.checkQueue(dead)).messageCount === 1);
    await consumer.stop();
  });

  it("a consumer that stops gives a failing message back at once", async () => {
    const failed = Promise.withResolvers<void>();
    const options = { idempotency: bench.idempotency(), requeueAfterMs: 600_000, onFailed: () => failed.resolve() };
    const consumer = await consumeOnceOnly(channel, queue, options, () => Promise.reject(new Error("x")));
    channel.sendToQueue(queue, Buffer.from("x"), { messageId: "m" });
    await failed.promise;
    await consumer.stop();
    await pollUntil("it is back", async () => (await depth()) === 1);
  });

  it("a consumer stops within its grace, and says what is unfinished", async () => {
    const work = gate<void>();
    const consumer = await consumeOnceOnly(channel, queue, { idempotency: bench.idempotency() }, work.handler);
    channel.sendToQueue(queue, Buffer.from("x"), { messageId: "m" });
    await work.entered;
    expect(await consumer.stop({ graceMs: 20 })).toEqual({ drained: false, unfinished: 1 });
    work.open();
    await pollUntil("it ended all the same", () => acknowledged === 1);
  });

  it("a consumer whose channel is closed ends its pauses, waits for its work, and then throws the channel's error", async () => {
    const lost = await (connection as ChannelModel).createChannel();
    lost.on("error", () => undefined);
    const work = gate<void>();
    const failed = Promise.withResolvers<void>();
    const options = { idempotency: bench.idempotency(), requeueAfterMs: 600_000, onFailed: () => failed.resolve() };
    const consumer = await consumeOnceOnly(lost, queue, options, ({ content }) =>
      content.toString() === "failing" ? Promise.reject(new Error("x")) : work.handler(),
    );
    for (const name of ["failing", "slow"]) channel.sendToQueue(queue, Buffer.from(name), { messageId: name });
    await Promise.all([failed.promise, work.entered]);
    await lost.close();
    const stopped = rejection(consumer.stop({ graceMs: 60_000 }));
    work.open();
    expect(await stopped).toMatchObject({ message: expect.stringContaining("closed") as string });
  });
});

describe("consumeOnceOnly, whatever the broker does", () => {
  it("gives back what is delivered after it was stopped, and does not wait for a broker that does not answer", async () => {
    let deliver: (message: AmqpMessage) => void = () => undefined;
    const answers: string[] = [];
    const mute: AmqpChannel<AmqpMessage> = {
      consume: async (_queue, onMessage) => {
        deliver = onMessage;
        return { consumerTag: "c" };
      },
      ack: () => void answers.push("ack"),
      nack: (_message, _allUpTo, requeue) => void answers.push(`nack, requeue ${requeue}`),
      cancel: () => new Promise(() => undefined),
    };
    const options = { idempotency: bench.idempotency() };
    const consumer = await consumeOnceOnly(mute, "q", options, () => expect.unreachable());
    expect(await consumer.stop({ graceMs: 20 })).toEqual({ drained: true, unfinished: 0 });
    deliver({ content: Buffer.from("x"), properties: { messageId: "m" } });
    expect(answers).toEqual(["nack, requeue true"]);
  });
});
