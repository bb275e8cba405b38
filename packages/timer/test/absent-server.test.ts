/** Clients and workers that begin while Redis is away. What happens when it goes away later is in outages.test.ts. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { RedisUnavailableError } from "@holdfast/core";
import { Catcher, Desk, failure, freshName, many } from "./client.ts";

it("a worker that is started while Redis is away says so, and fires what is due once it is there; calls fail typed, and do nothing later", async () => {
  await using desk = new Desk();
  await using own = await RedisServer.start({ aof: "always" });
  const name = freshName();
  await desk.timer(own.url, name).scheduleMany(many(20));
  await own.kill();

  const timer = desk.timer(own.url, name, { commandTimeoutMs: 300 });
  const catcher = new Catcher();
  const worker = timer.worker({ pollMs: 50 }, catcher.handle);
  await worker.start();
  const calls = {
    schedule: () => timer.schedule({ id: "x", afterMs: 0 }),
    scheduleMany: () => timer.scheduleMany([{ id: "x", afterMs: 0 }]),
    cancel: () => timer.cancel("t0"),
    fireNow: () => timer.fireNow("t0"),
    get: () => timer.get("t0"),
    stats: () => timer.stats(),
    reconcile: () => timer.reconcile(many(1), { asOfMs: 1 }),
    list: () => timer.dead.list(),
    redrive: () => timer.dead.redrive("t0"),
    drop: () => timer.dead.drop("t0"),
  };
  // All at once, so that each waits for its own time and for no other's.
  const errors = await Promise.all(Object.values(calls).map((call) => failure(call())));
  for (const error of errors) {
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ reason: "UNREACHABLE", effect: "none" });
  }
  await pollUntil("the worker says so", () => desk.events.some(({ type }) => type === "trouble"));
  expect(catcher.firings).toHaveLength(0);

  await own.restart();
  await catcher.caught(20);
  await worker.idle();
  expect(catcher.ids.toSorted()).toEqual(
    many(20)
      .map(({ id }) => id)
      .toSorted(),
  );
  expect(desk.events.some(({ type }) => type === "recovered")).toBe(true);
  // Nothing of what was given up has been sent meanwhile.
  expect(await pollUntil("it answers", () => timer.stats())).toMatchObject({ pending: 0, leased: 0, dead: 0 });
  await worker.stop({ graceMs: 10_000 });
});
