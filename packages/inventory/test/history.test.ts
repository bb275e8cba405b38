/** Concurrent histories: what many clients did together has an explanation, one after the other. */
import { FaultProxy, RedisServer, random } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Inventory, type Movement } from "../src/index.ts";
import { passed, patient, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

/** A call with the moments between which it took effect. */
interface Entry {
  readonly id: string;
  readonly kind: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The movement of an answer that took something. */
const begun: Readonly<Record<string, string>> = { reserved: "reserve", decremented: "decrement" };

let server: RedisServer;
const clients: Redis[] = [];
const proxies: FaultProxy[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  for (const proxy of proxies) await proxy.close();
  await server.stop();
});

function connect(url: string): Redis {
  const client = new Redis(url, { retryStrategy: () => 5, replyMapping: "legacy" });
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

async function moves(stock: Inventory): Promise<Movement[]> {
  const movements: Movement[] = [];
  for await (const movement of stock.movements()) movements.push(movement);
  return movements;
}

describe("many clients at once", () => {
  it.each([1, 2, 3])(
    "V1 V2 V4 conservation, ids at most once, and an order that respects real time (seed %i)",
    async (seed) => {
      const name = `history-${seed}`;
      const units = 300;
      const watch = new Inventory(connect(server.url), name, patient);
      await watch.restock({ operationId: "delivery", lines: [line("mug", units)] });
      const entries: Entry[] = [];
      const looks: { atMs: number; fromMs: number; onHand: number; available: number }[] = [];
      const timed = async (id: string, call: () => Promise<{ kind: string }>): Promise<string> => {
        const fromMs = performance.now();
        const { kind } = await call();
        entries.push({ id, kind, fromMs, toMs: performance.now() });
        return kind;
      };
      await Promise.all(
        Array.from({ length: 8 }, async (_, worker) => {
          const chance = random(`${seed}/${worker}`);
          const proxy = await FaultProxy.start(server);
          proxies.push(proxy);
          const stock = new Inventory(connect(proxy.url), name, patient);
          for (let turn = 0; turn < 40; turn += 1) {
            // Each id is used by two workers, as after a redelivery.
            const reservationId = `${Math.floor(worker / 2)}-${turn}`;
            if (chance.chance(0.05)) proxy.swallowReply("evalsha");
            // Some carts are left behind, and end by themselves while the others go on.
            const holdMs = turn % 5 === 0 ? 50 : 60_000;
            const request = { reservationId, holdMs, lines: [line("mug", 1 + (turn % 3))] };
            const kind = await timed(reservationId, () => stock.reserve(request));
            if (kind !== "reserved") continue;
            if (chance.chance(0.05)) proxy.swallowReply("evalsha");
            const end = (turn + Math.floor(worker / 2)) % 3;
            if (end === 0) await timed(reservationId, () => stock.confirm({ reservationId }));
            if (end === 1) await timed(reservationId, () => stock.release({ reservationId }));
            const operationId = `d${reservationId}`;
            if (end === 2) await timed(operationId, () => stock.decrement({ operationId, lines: [line("mug", 1)] }));
            const fromMs = performance.now();
            const { onHand, available } = await watch.level("mug");
            looks.push({ fromMs, atMs: performance.now(), onHand, available });
          }
        }),
      );
      // Whatever ends by itself has ended.
      await passed(server, (await serverMs(server)) + 51);
      const { onHand, reserved, available } = await watch.level("mug");
      const movements = await moves(watch);
      const sum = (kind: string, field: "onHand" | "reserved"): number =>
        movements
          .filter((each) => each.kind === kind)
          .flatMap(({ changes }) => changes)
          .reduce((total, each) => total + each[field], 0);
      const ends = ["confirm", "release", "expire"];
      expect(onHand).toBe(units + sum("confirm", "onHand") + sum("decrement", "onHand"));
      expect(reserved).toBe(["reserve", ...ends].reduce((total, kind) => total + sum(kind, "reserved"), 0));
      expect(available).toBe(onHand - reserved);
      for (const kind of ["reserve", "decrement", ...ends]) {
        const ids = movements.filter((each) => each.kind === kind).map(({ id }) => id);
        expect(ids.length).toBeGreaterThan(0);
        expect(new Set(ids).size).toBe(ids.length);
      }
      const ended = movements.filter(({ kind }) => ends.includes(kind)).map(({ id }) => id);
      expect(new Set(ended).size).toBe(ended.length);
      // A call that ended before another began stands before it in the log.
      const place = new Map(movements.map(({ id, kind, sequence }) => [`${kind} ${id}`, sequence]));
      const firsts = new Map<string, Entry>();
      for (const entry of entries.toSorted((a, b) => a.fromMs - b.fromMs)) {
        if (entry.kind in begun && !firsts.has(entry.id)) firsts.set(entry.id, entry);
      }
      const takings = [...firsts.values()];
      const at = ({ kind, id }: Entry): number => place.get(`${begun[kind]} ${id}`) ?? 0;
      for (const before of takings) {
        for (const after of takings) {
          const [first, second] = [at(before), at(after)];
          if (before.toMs < after.fromMs) expect(first).toBeLessThan(second);
        }
      }
      // Each look saw a state that the log went through, and never an older one than a look that was over before it began.
      const states = new Map<string, number[]>();
      let [hand, free] = [0, 0];
      for (const { sequence, changes } of movements) {
        for (const change of changes) {
          hand += change.onHand;
          free += change.onHand - change.reserved;
        }
        states.set(`${hand} ${free}`, [...(states.get(`${hand} ${free}`) ?? []), sequence]);
      }
      let earliest = 0;
      const done: { atMs: number; sequence: number }[] = [];
      for (const look of looks.toSorted((a, b) => a.fromMs - b.fromMs)) {
        earliest = Math.max(0, ...done.filter(({ atMs }) => atMs < look.fromMs).map(({ sequence }) => sequence));
        const fitting = (states.get(`${look.onHand} ${look.available}`) ?? []).find((sequence) => sequence >= earliest);
        expect(fitting).toBeDefined();
        done.push({ atMs: look.atMs, sequence: fitting ?? 0 });
      }
    },
  );
});
