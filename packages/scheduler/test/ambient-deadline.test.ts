/** A scheduler that is started under the deadline of the work that is running. */
import { ambientRemainingMs, withAmbientDeadline } from "@holdfast/core";
import { RedisServer, Stopwatch } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { Catcher, Desk, freshName } from "./desk.ts";

it("a scheduler that is started under an ambient deadline goes on after it, and its runs are not under it", async () => {
  await using server = await RedisServer.start();
  await using desk = new Desk();
  const catcher = new Catcher();
  const remaining: number[] = [];
  const scheduler = desk.scheduler(server.url, freshName()).job("tick", { everyMs: 100 }, (run) => {
    remaining.push(ambientRemainingMs());
    catcher.handle(run);
  });
  await withAmbientDeadline(2_000, () => scheduler.start());
  await catcher.caught(30);
  expect(new Set(remaining)).toEqual(new Set([Infinity]));
});

it("operators' calls end with an ambient deadline while Redis stands still", async () => {
  await using server = await RedisServer.start();
  await using desk = new Desk();
  const scheduler = desk.scheduler(server.url, freshName(), { commandTimeoutMs: 20_000 });
  scheduler.job("job", { everyMs: 86_400_000 }, () => undefined);
  await scheduler.start();
  server.pause();
  using watch = Stopwatch.start();
  const calls = withAmbientDeadline(200, () =>
    Promise.allSettled([
      scheduler.runNow("job"),
      scheduler.pause("job"),
      scheduler.history("job"),
      scheduler.remove("job"),
    ]),
  );
  expect((await calls).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => "rejected"));
  expect(watch.ranMs).toBeLessThan(10_000);
  server.resume();
});
