/** Another program's value under one of our keys: every call, every key. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeadLetterError } from "../src/index.ts";
import type { DurableTimer } from "../src/index.ts";
import { Catcher, Desk, freshName, serverTimeMs } from "./client.ts";

const parts = ["due", "data", "notes", "later", "state", "memory:a", "memory:b", "dead", "dead:data"];

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ config: { "enable-debug-command": "yes" } });
});
afterAll(() => server.stop());

/** Puts the value of another program in the place of one of ours; the function puts ours back. */
async function intrude(name: string, part: string): Promise<() => Promise<void>> {
  const key = `holdfast:{timer:${name}}:${part}`;
  const wasThere = (await server.call("EXISTS", key)) === 1;
  if (wasThere) await server.call("RENAME", key, `${key}:aside`);
  await server.call("SET", key, "mine");
  return async () => {
    expect(await server.call("GET", key)).toBe("mine");
    // In one step: what a worker wrote in between would be overwritten.
    if (wasThere) await server.call("RENAME", `${key}:aside`, key);
    else await server.call("DEL", key);
  };
}

/** One timer that is pending, one that is leased, one that has a next generation behind it, one that is dead, one that has ended. */
async function furnish(desk: Desk, name: string): Promise<DurableTimer> {
  const timer = desk.timer(server.url, name, { commandTimeoutMs: 30_000 });
  const hours = { afterMs: 3_600_000 };
  await timer.scheduleMany(["dead", "leased", "followed"].map((id) => ({ id, afterMs: 0 })));
  const running = new Catcher();
  const worker = timer.worker({ leaseMs: 60_000 }, async (firing) => {
    if (firing.id === "dead") throw new DeadLetterError("at once");
    running.handle(firing);
    await new Promise(() => undefined);
  });
  await worker.start();
  await running.caught(2);
  await pollUntil("one is dead", async () => (await timer.stats()).dead === 1);
  await timer.schedule({ id: "followed", ...hours });
  await timer.schedule({ id: "pending", ...hours });
  await timer.schedule({ id: "cancelled", ...hours });
  await timer.cancel("cancelled");
  // Its process is gone: the leases stand.
  await worker.stop({ graceMs: 0 });
  return timer;
}

const hours = { afterMs: 7_200_000 };
const calls: Readonly<Record<string, (timer: DurableTimer) => Promise<unknown>>> = {
  "schedule of a new one": (timer) => timer.schedule({ id: "new", ...hours }),
  "schedule that keeps": (timer) => timer.schedule({ id: "pending", ...hours }),
  "schedule that replaces": (timer) => timer.schedule({ id: "pending", ...hours, ifExists: "replace" }),
  "schedule behind a firing": (timer) => timer.schedule({ id: "leased", ...hours }),
  "schedule instead of what follows": (timer) => timer.schedule({ id: "followed", ...hours, ifExists: "replace" }),
  scheduleMany: (timer) => timer.scheduleMany(["new", "pending", "leased"].map((id) => ({ id, ...hours }))),
  "cancel of a pending one": (timer) => timer.cancel("pending"),
  "cancel of a firing one": (timer) => timer.cancel("leased"),
  "cancel of one that is followed": (timer) => timer.cancel("followed"),
  "cancel of none": (timer) => timer.cancel("absent"),
  fireNow: (timer) => timer.fireNow("pending"),
  get: (timer) => timer.get("followed"),
  stats: (timer) => timer.stats(),
  "dead.list": (timer) => timer.dead.list(),
  "dead.redrive": (timer) => timer.dead.redrive("dead"),
  "dead.drop": (timer) => timer.dead.drop("dead"),
  reconcile: async (timer) =>
    timer.reconcile(
      ["new", "pending", "leased", "dead", "cancelled"].map((id) => ({ id, ...hours })),
      { asOfMs: await serverTimeMs(server) },
    ),
};

describe.each(parts)("a value of another program under the key %s", (part) => {
  it("K3 makes a call fail typed, with nothing written, or is not in its way", async () => {
    const refused: string[] = [];
    for (const [what, call] of Object.entries(calls)) {
      await using desk = new Desk();
      await server.call("FLUSHALL");
      const name = freshName();
      const timer = await furnish(desk, name);
      const restore = await intrude(name, part);
      const before = await server.call("DEBUG", "DIGEST");
      const error = await call(timer).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) {
        const typed = { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" };
        expect({ what, error }).toMatchObject({ what, error: typed });
        expect({ what, digest: await server.call("DEBUG", "DIGEST") }).toEqual({ what, digest: before });
        refused.push(what);
      }
      // The same call is carried out when the key is ours again; a failed one has left nothing that would keep it from that.
      await restore();
      if (error !== undefined) await call(timer);
    }
    expect(refused).not.toEqual([]);
  });

  it("K3 stops a worker for as long as it is there: afterwards what was due fires, fails and dies as if it had never been", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name, { commandTimeoutMs: 30_000 });
    const good = Array.from({ length: 20 }, (_, index) => `good-${index}`);
    await timer.scheduleMany([...good, "fails once", "bad"].map((id) => ({ id, afterMs: 0 })));
    const restore = await intrude(name, part);
    const catcher = new Catcher();
    let failed = false;
    const backoff = { baseMs: 1, delayMaxMs: 1 };
    const worker = timer.worker({ leaseMs: 2_000, pollMs: 20, backoff }, async (firing) => {
      if (firing.id === "bad") throw new DeadLetterError("on purpose");
      if (firing.id === "fails once" && !failed) {
        failed = true;
        throw new Error("once");
      }
      catcher.handle(firing);
    });
    await worker.start();
    await pollUntil("the worker says so", () => desk.events.some(({ type }) => type === "trouble"));
    for (const event of desk.events) {
      if (event.type !== "trouble") continue;
      expect(event.error).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
    }
    await restore();
    const isOver = async (): Promise<boolean> => {
      const { pending, leased, dead } = await timer.stats();
      return pending === 0 && leased === 0 && dead === 1;
    };
    await pollUntil("all have come to their ends", isOver, { timeoutMs: 60_000 });
    await worker.idle();
    expect(new Set(catcher.ids)).toEqual(new Set([...good, "fails once"]));
    expect(await timer.dead.list()).toMatchObject([{ id: "bad" }]);
    await worker.stop({ graceMs: 10_000 });
  });
});
