/** T9: how scheduleMany is cut into scripts, and that an id which comes again waits for its first. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, RedisServer, SeededRandom } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bulkMax, chunksOf } from "../src/chunks.ts";
import type { Chunk } from "../src/chunks.ts";
import type { ScheduleItem } from "../src/schedule-request.ts";
import { schedule } from "../src/scripts.generated.ts";
import { Desk, freshName, requests } from "./client.ts";

const item = (id: string, operationId = "call"): ScheduleItem => ({
  id,
  operationId,
  when: "r+1",
  payloadText: "",
  askedAtMs: 0,
  sighting: undefined,
});

function cut(items: readonly ScheduleItem[]): Chunk[] {
  return [...chunksOf(items, [...items.keys()], (index) => items[index]?.operationId !== "call")];
}

describe("chunks", () => {
  it("T9 hold every item once, in order, no id twice, and say whether an earlier chunk has one of their ids", () => {
    const random = new SeededRandom(20_261_129);
    for (let round = 0; round < 100; round += 1) {
      const ids = random.int(1, 900);
      const items = Array.from({ length: random.int(0, 1_500) }, () =>
        item(`id-${random.int(0, ids)}`, random.chance(0.9) ? "call" : "own"),
      );
      const earlier = new Map<string, number>();
      let at = 0;
      for (const chunk of cut(items)) {
        const repeats = chunk.items.some(({ id }) => earlier.has(id));
        expect(chunk.repeats).toBe(repeats);
        expect(chunk.items.length).toBeLessThanOrEqual(bulkMax);
        expect(new Set(chunk.items.map(({ id }) => id)).size).toBe(chunk.items.length);
        for (const [place, { id, operationId }] of chunk.items.entries()) {
          expect(chunk.indexes[place]).toBe(at);
          const asked = items[at] as ScheduleItem;
          const times = earlier.get(id) ?? 0;
          earlier.set(id, times + 1);
          expect(id).toBe(asked.id);
          expect(operationId).toBe(asked.operationId === "own" || times === 0 ? asked.operationId : `call.${times}`);
          at += 1;
        }
      }
      expect(at).toBe(items.length);
    }
  });

  it("are full where no id comes twice", () => {
    const chunks = cut(Array.from({ length: bulkMax * 2 + 1 }, (_, n) => item(`id-${n}`)));
    expect(chunks.map(({ items, repeats }) => [items.length, repeats])).toEqual([
      [bulkMax, false],
      [bulkMax, false],
      [1, false],
    ]);
    expect(cut([])).toEqual([]);
  });
});

describe("scheduleMany", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());

  const executed = async (): Promise<number> => {
    const stats = String(await server.call("INFO", "commandstats"));
    return Number(/^cmdstat_evalsha:calls=(\d+)/mu.exec(stats)?.[1]);
  };

  it("T9 sends an id that comes again in a later script only when the first is answered", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const timer = desk.timer<{ n: number }>(proxy.url, freshName());
    // Opened, and the script is known.
    await timer.schedule({ id: "other", afterMs: 60_000, payload: { n: 0 } });
    const before = await executed();
    const first = requests(bulkMax, 60_000);
    const last = requests(bulkMax * 2, 60_000).slice(bulkMax);
    const held = proxy.hold("reply", new RegExp(schedule.sha1, "u"));
    const again = first.map((one) => ({ ...one, ifExists: "replace" as const }));
    const results = timer.scheduleMany([...first, ...again, ...last]);
    await held.hit;
    await delay(100);
    expect((await executed()) - before).toBe(1);
    held.release();
    const kinds = (await results).map(({ kind }) => kind);
    expect(kinds).toEqual([
      ...first.map(() => "scheduled"),
      ...again.map(() => "replaced"),
      ...last.map(() => "scheduled"),
    ]);
  });
});
