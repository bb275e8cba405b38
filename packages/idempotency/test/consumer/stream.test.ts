import { systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { Pod, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { StreamConsumer } from "../../src/consumer/index.ts";
import type { StreamConsumerEvent, StreamConsumerOptions, StreamMessage } from "../../src/consumer/index.ts";
import type { Attempt } from "../../src/index.ts";
import { gate, longLeaseMs, pass, rejection, uniqueName, useBench } from "../fixture.ts";
import type { Gate } from "../fixture.ts";

const bench = useBench();

interface Started {
  readonly consumer: StreamConsumer;
  readonly events: StreamConsumerEvent[];
}

async function consume(
  stream: string,
  name: string,
  handler: (message: StreamMessage, attempt: Attempt) => Promise<void> | void,
  options: Partial<StreamConsumerOptions> = {},
): Promise<Started> {
  const events: StreamConsumerEvent[] = [];
  const consumer = new StreamConsumer(
    bench.client(),
    bench.idempotency({ leaseMs: longLeaseMs }, undefined, stream),
    {
      stream,
      group: "g",
      consumer: name,
      minIdleMs: 100,
      pollMs: 10,
      messageId: ({ fields }) => fields["id"] ?? "",
      onEvent: (event) => events.push(event),
      ...options,
    },
    handler,
  );
  await consumer.start();
  return { consumer, events };
}

const add = (stream: string, id: string): Promise<unknown> => bench.redis.xadd(stream, "*", "id", id);
const pending = async (stream: string): Promise<number> => ((await bench.redis.xpending(stream, "g")) as [number])[0];

describe("Redis Streams", () => {
  it("a message that is sent twice is processed once, and both entries are acknowledged", async () => {
    const stream = uniqueName();
    const seen: string[] = [];
    const { consumer, events } = await consume(stream, "c", ({ fields }) => void seen.push(fields["id"] ?? ""));
    for (const id of ["a", "b", "a", "b"]) await add(stream, id);
    await pollUntil("all are settled", () => events.length >= 4);
    await pollUntil("all are acknowledged", async () => (await pending(stream)) === 0);
    // The consumer hears of its acknowledgements after the server has them.
    expect(await consumer.stop()).toEqual({ drained: true, unfinished: 0 });
    expect(seen.toSorted()).toEqual(["a", "b"]);
    expect(events.filter(({ type }) => type === "duplicate").length).toBeGreaterThanOrEqual(1);
  });

  async function killedConsumer(
    stream: string,
    env: Record<string, string>,
    until: () => Promise<boolean>,
  ): Promise<void> {
    const pod = await Pod.start(new URL("stream.pod.ts", import.meta.url), {
      env: { REDIS_URL: bench.server.url, STREAM: stream, ...env },
    });
    await pod.ready();
    for (let index = 0; index < 20; index += 1) await add(stream, `m${index}`);
    await pollUntil("it has come as far as it gets", until);
    await pod.kill();
    expect(await pending(stream)).toBe(20);
  }

  it("a consumer that is killed right before its acknowledgement: XAUTOCLAIM brings the message again, and nothing is written twice", async () => {
    const stream = uniqueName();
    await killedConsumer(stream, {}, async () => (await bench.redis.llen(`${stream}:unacknowledged`)) === 20);
    const { consumer, events } = await consume(stream, "successor", async ({ fields }) => {
      await bench.redis.rpush(`${stream}:writes`, fields["id"] ?? "");
    });
    await pollUntil("all are acknowledged", async () => (await pending(stream)) === 0);
    await consumer.stop();
    const writes = await bench.redis.lrange(`${stream}:writes`, 0, -1);
    expect(new Set(writes).size).toBe(20);
    expect(writes).toHaveLength(20);
    expect(events.filter(({ type }) => type === "duplicate")).toHaveLength(20);
  });

  it("I8 a consumer that is killed right after its write: the next attempt is told, and a write that carries the downstream key is one row", async () => {
    const stream = uniqueName();
    await killedConsumer(stream, { HANG: "1" }, async () => (await bench.redis.hlen(`${stream}:rows`)) === 20);
    const recovered: boolean[] = [];
    const { consumer } = await consume(stream, "successor", async ({ fields }, attempt) => {
      recovered.push(attempt.recovered);
      await bench.redis.hsetnx(`${stream}:rows`, attempt.downstreamKey, fields["id"] ?? "");
    });
    await pollUntil("all are acknowledged", async () => (await pending(stream)) === 0);
    await consumer.stop();
    expect(recovered).toEqual(Array.from({ length: 20 }, () => true));
    expect(await bench.redis.hlen(`${stream}:rows`)).toBe(20);
  });

  it("counter-test: the same kill with a consumer that only acknowledges writes everything twice", async () => {
    const stream = uniqueName();
    await bench.redis.xgroup("CREATE", stream, "g", "0", "MKSTREAM");
    await add(stream, "m");
    const writes: string[] = [];
    await bench.redis.xreadgroup("GROUP", "g", "first", "STREAMS", stream, ">");
    writes.push("first");
    const [, entries] = (await bench.redis.xautoclaim(stream, "g", "second", 0, "0-0")) as [string, unknown[]];
    for (const _ of entries) writes.push("second");
    expect(writes).toEqual(["first", "second"]);
  });

  it("a message whose handler fails comes again, and the next attempt is told", async () => {
    const stream = uniqueName();
    const attempts: { number: number; recovered: boolean }[] = [];
    const { consumer } = await consume(stream, "c", (_, { number, recovered }) => {
      attempts.push({ number, recovered });
      if (attempts.length === 1) throw new Error("after the write");
    });
    await add(stream, "m");
    await pollUntil("it is acknowledged", async () => attempts.length === 2 && (await pending(stream)) === 0);
    await consumer.stop();
    expect(attempts).toEqual([
      { number: 1, recovered: false },
      { number: 2, recovered: true },
    ]);
  });

  it("two members share the work, and slow work that looks abandoned is not done twice", async () => {
    const stream = uniqueName();
    const seen: string[] = [];
    const handler = async ({ fields }: StreamMessage): Promise<void> => {
      seen.push(fields["id"] ?? "");
      await pass(300);
    };
    const members = [await consume(stream, "a", handler), await consume(stream, "b", handler)];
    for (let index = 0; index < 10; index += 1) await add(stream, `m${index}`);
    await pollUntil("all are acknowledged", async () => seen.length >= 10 && (await pending(stream)) === 0);
    for (const { consumer } of members) await consumer.stop();
    expect(seen).toHaveLength(10);
    expect(new Set(seen).size).toBe(10);
  });

  it("never works on more messages than concurrencyMax, and goes on when one is done", async () => {
    const stream = uniqueName();
    const gates: Gate<void>[] = [];
    const { consumer } = await consume(
      stream,
      "c",
      () => {
        const each = gate<void>();
        gates.push(each);
        return each.handler();
      },
      { concurrencyMax: 3, minIdleMs: 60_000 },
    );
    for (let index = 0; index < 8; index += 1) await add(stream, `m${index}`);
    for (let done = 0; done < 8; done += 1) {
      await pollUntil("there is work", () => gates.length > done);
      expect(consumer.working).toBeLessThanOrEqual(3);
      gates[done]?.open();
    }
    await pollUntil("all are acknowledged", async () => (await pending(stream)) === 0);
    await consumer.stop();
  });

  it("slow work of its own that looks abandoned takes no room from new messages", async () => {
    const stream = uniqueName();
    const slow = gate<void>();
    const seen: string[] = [];
    const handler = async ({ fields: { id = "" } }: StreamMessage): Promise<void> => {
      seen.push(id);
      if (id === "slow") await slow.handler();
    };
    const { consumer } = await consume(stream, "c", handler, { concurrencyMax: 2, minIdleMs: 1 });
    await add(stream, "slow");
    await slow.entered;
    await add(stream, "next");
    await pollUntil("the next one is handled", () => seen.includes("next"));
    slow.open();
    await pollUntil("all are acknowledged", async () => (await pending(stream)) === 0);
    await consumer.stop();
    expect(seen).toEqual(["slow", "next"]);
  });

  it("a group that Redis has lost is made again, and what it had acknowledged is not processed again", async () => {
    const stream = uniqueName();
    const seen: string[] = [];
    const { consumer, events } = await consume(stream, "c", ({ fields }) => void seen.push(fields["id"] ?? ""));
    await add(stream, "a");
    await pollUntil("it is processed", () => events.some(({ type }) => type === "processed"));
    await bench.redis.xgroup("DESTROY", stream, "g");
    await add(stream, "b");
    await pollUntil("it goes on", () => events.filter(({ type }) => type === "processed").length === 2);
    await pollUntil("what comes again is acknowledged", async () => (await pending(stream)) === 0);
    await bench.redis.del(stream);
    await add(stream, "c");
    await pollUntil("it goes on without the stream, too", () => seen.includes("c"));
    await consumer.stop();
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("reads that fail are made again after longer and longer pauses", async () => {
    const stream = uniqueName();
    const pauses: number[] = [];
    const clock: Clock = {
      ...systemClock,
      setTimer(onTime, delayMs, weak) {
        const pause = delayMs === 700 || delayMs === 1_400 || delayMs > 2_000;
        if (pause) pauses.push(delayMs);
        return systemClock.setTimer(onTime, pause ? 0 : delayMs, weak);
      },
    };
    const { consumer } = await consume(stream, "c", () => undefined, { clock, pollMs: 700 });
    await bench.redis.set(stream, "no stream");
    await pollUntil("it has tried often", () => pauses.lastIndexOf(5_000) > pauses.indexOf(5_000));
    await consumer.stop({ graceMs: 1_000 });
    const first = pauses.indexOf(1_400);
    expect(pauses.slice(first - 1, first + 4)).toEqual([700, 1_400, 2_800, 5_000, 5_000]);
  });

  it.each(["read", "acknowledgement"] as const)(
    "stop ends within its grace when Redis does not answer a %s",
    async (what) => {
      const stream = uniqueName();
      const { redis, proxy } = await bench.proxied();
      const idempotency = bench.idempotency({ leaseMs: longLeaseMs }, undefined, stream);
      const options = { stream, group: "g", consumer: "c", pollMs: 10, commandTimeoutMs: 600_000 };
      const consumer = new StreamConsumer(redis, idempotency, options, () => undefined);
      const held = proxy.hold("reply", what === "read" ? "XAUTOCLAIM" : "XACK", { times: Infinity });
      await consumer.start();
      await add(stream, "m");
      await held.hit;
      const unfinished = what === "read" ? 0 : 1;
      expect(await consumer.stop({ graceMs: 50 })).toEqual({ drained: unfinished === 0, unfinished });
      held.release();
    },
  );

  it("what is read when the grace is over is not begun, and comes to another member", async () => {
    const stream = uniqueName();
    const { redis, proxy } = await bench.proxied();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs }, undefined, stream);
    const options = { stream, group: "g", consumer: "c", pollMs: 10, commandTimeoutMs: 600_000 };
    await bench.redis.xgroup("CREATE", stream, "g", "0", "MKSTREAM");
    await add(stream, "m");
    const stopped = new StreamConsumer(redis, idempotency, options, () => expect.unreachable());
    const held = proxy.hold("reply", "XREADGROUP");
    await stopped.start();
    await held.hit;
    expect(await stopped.stop({ graceMs: 0 })).toEqual({ drained: true, unfinished: 0 });
    held.release();
    const seen: string[] = [];
    const { consumer } = await consume(stream, "d", ({ fields }) => void seen.push(fields["id"] ?? ""));
    await pollUntil("it has come", async () => (await pending(stream)) === 0);
    await consumer.stop();
    expect(seen).toEqual(["m"]);
  });

  it("a stop that comes while it starts is one: nothing is read after it, and it may start again", async () => {
    const stream = uniqueName();
    const { redis, proxy } = await bench.proxied();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs }, undefined, stream);
    const options = { stream, group: "g", consumer: "c", pollMs: 10, commandTimeoutMs: 600_000 };
    const seen: string[] = [];
    const consumer = new StreamConsumer(redis, idempotency, options, ({ id }) => void seen.push(id));
    const held = proxy.hold("reply", "XGROUP");
    const starting = consumer.start();
    await held.hit;
    expect(await consumer.stop({ graceMs: 0 })).toEqual({ drained: true, unfinished: 0 });
    held.release();
    await starting;
    await add(stream, "m");
    await pass(200);
    expect(seen).toEqual([]);
    await consumer.start();
    await pollUntil("it is handled", () => seen.length === 1);
    await consumer.stop();
  });

  it("a start that finds no Redis throws, also for whoever starts at the same time, and may be tried again", async () => {
    const stream = uniqueName();
    const { redis, proxy } = await bench.proxied({ maxRetriesPerRequest: 0 });
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs }, undefined, stream);
    const options = { stream, group: "g", consumer: "c", pollMs: 10, commandTimeoutMs: 300 };
    const consumer = new StreamConsumer(redis, idempotency, options, () => undefined);
    await proxy.refuse();
    proxy.reset();
    const errors = await Promise.all([rejection(consumer.start()), rejection(consumer.start())]);
    expect(errors).toMatchObject([{ name: expect.any(String) }, { name: expect.any(String) }]);
    await proxy.heal();
    await pollUntil("it has started", () =>
      consumer.start().then(
        () => true,
        () => false,
      ),
    );
    await add(stream, "m");
    await pollUntil("it is handled", async () => (await pending(stream)) === 0);
    expect(await consumer.stop()).toEqual({ drained: true, unfinished: 0 });
  });

  it("stop ends within its grace, and says what is unfinished", async () => {
    const stream = uniqueName();
    const work = gate<void>();
    const { consumer } = await consume(stream, "c", work.handler);
    await add(stream, "m");
    await work.entered;
    expect(await consumer.stop({ graceMs: 50 })).toEqual({ drained: false, unfinished: 1 });
    work.open();
    await pollUntil("it ended all the same", async () => (await pending(stream)) === 0);
  });

  it("goes on when Redis comes back, and refuses bad options", async () => {
    const stream = uniqueName();
    const { redis, proxy } = await bench.proxied({ maxRetriesPerRequest: 0 });
    const events: string[] = [];
    const seen: string[] = [];
    const idempotency = bench.idempotency();
    const options = {
      stream,
      group: "g",
      consumer: "c",
      pollMs: 10,
      onEvent: ({ type }: StreamConsumerEvent) => void events.push(type),
    };
    const consumer = new StreamConsumer(redis, idempotency, options, ({ id }) => void seen.push(id));
    await consumer.start();
    await consumer.start();
    proxy.reset();
    await pollUntil("it noticed", () => {
      proxy.reset();
      return events.includes("read-failed");
    });
    await add(stream, "m");
    await pollUntil("it goes on", () => seen.length === 1);
    await consumer[Symbol.asyncDispose]();
    expect(() => new StreamConsumer(redis, idempotency, { ...options, stream: "" }, () => undefined)).toThrow(/stream/);
    expect(() => new StreamConsumer(redis, idempotency, { ...options, pollMs: 0 }, () => undefined)).toThrow(/pollMs/);
    await bench.redis.set("text", "x");
    const wrong = new StreamConsumer(bench.redis, idempotency, { ...options, stream: "text" }, () => undefined);
    expect(await rejection(wrong.start())).toMatchObject({ message: expect.stringContaining("WRONGTYPE") as string });
  });
});
