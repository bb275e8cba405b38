/** How messages of streams are named: each group of each stream handles each entry, and a name of the producer's is one message. */
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { messageName } from "../../src/consumer/message-name.ts";
import { StreamConsumer } from "../../src/consumer/index.ts";
import type { StreamConsumerOptions } from "../../src/consumer/index.ts";
import type { Idempotency } from "../../src/index.ts";
import { longLeaseMs, uniqueName, useBench } from "../fixture.ts";

const bench = useBench();

type Source = Pick<StreamConsumerOptions, "stream" | "group"> & Partial<StreamConsumerOptions>;

/** Consumes some sources on one instance until nothing is pending, and resolves to what each of them handled, in order. */
async function handledBy(idempotency: Idempotency, sources: readonly Source[]): Promise<string[][]> {
  const handled = sources.map((): string[] => []);
  let settled = 0;
  const consumers = sources.map((source, index) => {
    const onEvent = (): unknown => (settled += 1);
    const options = { consumer: "c", pollMs: 5, onEvent, ...source };
    return new StreamConsumer(bench.client(), idempotency, options, ({ fields }) => {
      handled[index]?.push(fields["id"] ?? "");
    });
  });
  for (const consumer of consumers) await consumer.start();
  const lengths = await Promise.all(sources.map(({ stream }) => bench.redis.xlen(stream)));
  const entries = lengths.reduce((sum, length) => sum + length, 0);
  await pollUntil("all are settled", () => settled >= entries);
  for (const consumer of consumers) await consumer.stop();
  return handled;
}

const add = (stream: string, id: string, at = "*"): Promise<unknown> => bench.redis.xadd(stream, at, "id", id);

describe("a message of a stream", () => {
  it("I7 is work for each group: two groups of a stream on one instance both handle every entry", async () => {
    const stream = uniqueName();
    for (const id of ["a", "b", "c"]) await add(stream, id);
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const handled = await handledBy(idempotency, [
      { stream, group: "billing" },
      { stream, group: "shipping" },
    ]);
    expect(handled.map((ids) => ids.toSorted())).toEqual([
      ["a", "b", "c"],
      ["a", "b", "c"],
    ]);
  });

  it("I7 is another one than an entry of the same millisecond in another stream", async () => {
    const [orders, mails] = [uniqueName(), uniqueName()];
    await add(orders, "order", "1700000000000-0");
    await add(mails, "mail", "1700000000000-0");
    const sources = [orders, mails].map((stream) => ({ stream, group: "g" }));
    expect(await handledBy(bench.idempotency({ leaseMs: longLeaseMs }), sources)).toEqual([["order"], ["mail"]]);
  });

  it("counter-test: two groups that name it alike share the work, and each leaves the other's undone", async () => {
    const stream = uniqueName();
    await add(stream, "a");
    const messageId = ({ id }: { readonly id: string }): string => id;
    const sources = ["billing", "shipping"].map((group) => ({ stream, group, messageId }));
    expect((await handledBy(bench.idempotency({ leaseMs: longLeaseMs }), sources)).flat()).toEqual(["a"]);
  });

  it("of a stream with a long name is named by a digest, which is no other's name", async () => {
    const stream = "s".repeat(250);
    await add(stream, "a");
    expect(await handledBy(bench.idempotency({ leaseMs: longLeaseMs }), [{ stream, group: "g" }])).toEqual([["a"]]);
    const names = [
      messageName("a", "b:c"),
      messageName("a:b", "c"),
      messageName("a", "b", "c"),
      messageName(stream, "g", "1-0"),
      messageName(stream, "g", "1-1"),
      messageName(stream, "g1", "-0"),
    ];
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(256);
  });
});
