/** T5: what was called off does not start. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SupersededError } from "../src/index.ts";
import type { Firing, FiringLostError } from "../src/index.ts";
import { cancel, schedule } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, failure, freshName, Gate } from "./client.ts";
import { occupied, lapse } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("T5 cancel", () => {
  it("T5 a cancelled timer does not fire, and cancel says what it found", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 30 });
    await timer.schedule({ id: "b", afterMs: 60 });
    expect(await timer.cancel("a")).toEqual({ kind: "cancelled" });
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    await catcher.caught(1);
    await worker.idle();
    expect(catcher.ids).toEqual(["b"]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T5 a schedule that was sent before a cancel and arrives after it does not revive the timer", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const slow = desk.timer(proxy.url, name);
    await slow.stats();
    const timer = desk.timer(server.url, name);
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const lost = failure(slow.schedule({ id: "a", afterMs: 0 }));
    await held.hit;
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    held.release();
    expect(await lost).toBeInstanceOf(SupersededError);
    expect(await timer.get("a")).toBeNull();
    // A schedule that is asked for after the cancel is as good as any.
    expect(await timer.schedule({ id: "a", afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
  });

  it("T5 a schedule that was asked for before a cancel does not count as asked for with the younger ones of its batch", async () => {
    await using desk = new Desk();
    const name = freshName();
    const checked = new Gate();
    const schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value: unknown) => {
          if (value === "old") await checked.opened;
          return { value: value as string };
        },
      },
    } as const;
    const timer = desk.timer<string>(server.url, name, { payload: schema });
    await timer.stats();
    const old = failure(timer.schedule({ id: "a", afterMs: 0, payload: "old" }));
    // More than what an estimate of the server's time may be off by.
    await delay(20);
    expect(await desk.timer<string>(server.url, name).cancel("a")).toEqual({ kind: "absent" });
    const young = timer.schedule({ id: "b", afterMs: 60_000, payload: "young" });
    checked.open();
    expect((await young).kind).toBe("scheduled");
    expect(await old).toBeInstanceOf(SupersededError);
    expect(await timer.get("a")).toBeNull();
  });

  it("T5 counter-test: without the tombstone the late schedule revives it", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.stats();
    const slow = desk.timer(proxy.url, name);
    await slow.stats();
    await withAlteredLua(
      schedule,
      "elseif cancelled and tonumber(cancelled) > askedUs then",
      "elseif false then",
      async () => {
        const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
        const sent = slow.schedule({ id: "a", afterMs: 60_000 });
        await held.hit;
        expect(await timer.cancel("a")).toEqual({ kind: "absent" });
        held.release();
        await sent;
      },
    );
    expect(await timer.get("a")).toMatchObject({ state: "pending" });
  });

  it("T5 the tombstone outlives the longest bound of any client, not only the canceller's own", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const patient = desk.timer(proxy.url, name, { commandTimeoutMs: 30_000, rememberMs: 1_000 });
    const hasty = desk.timer(server.url, name, { commandTimeoutMs: 100, rememberMs: 1_000 });
    await patient.stats();
    const held = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const late = failure(patient.schedule({ id: "a", afterMs: 0 }));
    await held.hit;
    // On a busy machine a call of the hasty one may be too late, and is made again.
    const surely = (id: string): Promise<true> =>
      pollUntil(`${id} is cancelled`, () => hasty.cancel(id).then(() => true as const));
    await surely("a");
    // Long after the canceller's bound and its rememberMs, with traffic that makes the memories take turns.
    for (let round = 0; round < 24; round += 1) {
      await surely(`other-${round}`);
      await delay(100);
    }
    held.release();
    expect(await late).toBeInstanceOf(SupersededError);
    expect(await desk.timer(server.url, name).get("a")).toBeNull();
  });

  it("T5 another client's schedule right after a cancel's answer is accepted", async () => {
    await using desk = new Desk();
    const name = freshName();
    const [one, two] = [desk.timer(server.url, name), desk.timer(server.url, name)];
    for (let round = 0; round < 200; round += 1) {
      await one.schedule({ id: `id-${round}`, afterMs: 60_000 });
      await one.cancel(`id-${round}`);
      expect(await two.schedule({ id: `id-${round}`, afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
    }
  });

  it("T5 cancelling a firing timer aborts its signal at the next heartbeat, and a retry does not deliver it again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const started = Promise.withResolvers<Firing<undefined>>();
    let runs = 0;
    const worker = timer.worker(
      { leaseMs: 6_000, pollMs: 20, backoff: { baseMs: 1, delayMaxMs: 1 } },
      async (firing) => {
        runs += 1;
        started.resolve(firing);
        await new Promise((_, reject) => {
          firing.signal.addEventListener("abort", () => reject(firing.signal.reason as Error));
        });
      },
    );
    await worker.start();
    const firing = await started.promise;
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    await pollUntil("its signal aborts", () => firing.signal.aborted);
    expect((firing.signal.reason as FiringLostError).reason).toBe("cancelled");
    await worker.idle();
    await delay(50);
    expect(runs).toBe(1);
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T5 a cancelled firing whose process vanished is not delivered again when its lease ends", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { worker } = await occupied(desk, server.url, name);
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    await worker.stop({ graceMs: 0 });
    await lapse(desk, server.url, name);
    const catcher = new Catcher();
    const other = timer.worker({ pollMs: 20 }, catcher.handle);
    await other.start();
    await pollUntil("it is gone", async () => (await timer.get("a")) === null);
    expect(catcher.firings).toHaveLength(0);
    expect(other.counts().lapsed).toBe(1);
    await other.stop({ graceMs: 1_000 });
  });

  it("T5 counter-test: without the mark a cancelled firing is delivered again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { worker } = await occupied(desk, server.url, name);
    await withAlteredLua(cancel, "isSuspect(noted[index]), true,", "isSuspect(noted[index]), false,", () =>
      timer.cancel("a"),
    );
    await worker.stop({ graceMs: 0 });
    await lapse(desk, server.url, name);
    const catcher = new Catcher();
    const other = timer.worker({ pollMs: 20 }, catcher.handle);
    await other.start();
    await catcher.caught(1);
    await other.stop({ graceMs: 1_000 });
  });

  it("T5 T4 a schedule after the cancel of a firing timer sets the next generation, which fires", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, server.url, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(await timer.cancel("a")).toEqual({ kind: "firing" });
    expect((await timer.get("a"))?.next).toBeNull();
    const next = await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(next.kind).toBe("firing");
    gate.open();
    await worker.idle();
    expect(await timer.get("a")).toMatchObject({ state: "pending", generation: next.generation });
    await worker.stop({ graceMs: 1_000 });
  });
});
