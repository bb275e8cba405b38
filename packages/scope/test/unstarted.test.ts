/** Forks that never begin, since the time is over: they are no zombies, and they are counted. */
import { ManualClock } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { collect, firstSuccess, openScope, scope, ScopeTimeoutError } from "../src/index.ts";
import type { ScopeEvent } from "../src/index.ts";

/** A clock that moves without its timers, as when a callback runs for long. */
class BlockedClock extends ManualClock {
  blockedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.blockedMs;
  }
}

it.each([0, 50])("S2 a fork after the deadline is no zombie of a scope with a grace of %d ms", async (graceMs) => {
  const clock = new BlockedClock();
  const events: ScopeEvent[] = [];
  let started = false;
  const run = scope({ name: "x", timeoutMs: 20, graceMs, clock, onEvent: (event) => events.push(event) }, async (s) => {
    clock.blockedMs = 40;
    await s.fork("late", () => (started = true));
  });
  await expect(run).rejects.toBeInstanceOf(ScopeTimeoutError);
  expect(started).toBe(false);
  expect(events).toMatchObject([{ type: "ended", report: { forks: 1, timedOut: 1, zombies: 0, running: 0 } }]);
  expect(events[0]).toMatchObject({ report: { timeoutsWithoutCancellation: 0 } });
});

it.each([0, 50])("S2 a fork without time of its own is no zombie of a scope with a grace of %d ms", async (graceMs) => {
  const events: ScopeEvent[] = [];
  let started = false;
  const options = { name: "x", graceMs, clock: new ManualClock(), onEvent: (event: ScopeEvent) => events.push(event) };
  const run = scope(options, (s) => s.fork("none", { timeoutMs: 0 }, () => (started = true)));
  await expect(run).rejects.toMatchObject({ name: "ScopeTimeoutError", scope: "x/none", effect: "none" });
  expect(started).toBe(false);
  expect(events).toMatchObject([{ type: "ended", report: { forks: 1, timedOut: 1, zombies: 0, running: 0 } }]);
});

it("S2 a fork without time of its own leaves the others alone where each stands for itself", async () => {
  const page = await collect(
    { name: "x", clock: new ManualClock() },
    { a: () => 1, b: () => scope({ name: "y", timeoutMs: 0 }, () => 2), c: () => 3 },
  );
  expect([page.a.kind, page.b.kind, page.c.kind]).toEqual(["success", "failed", "success"]);
});

it.each([0, 50])(
  "S4 collect with a grace of %d ms tells timed-out for what the deadline did not let begin",
  async (graceMs) => {
    const clock = new BlockedClock();
    const begun: string[] = [];
    const page = await collect(
      { name: "x", timeoutMs: 20, graceMs, clock },
      {
        a: () => {
          clock.blockedMs = 40;
          return "late";
        },
        b: () => begun.push("b"),
        c: () => begun.push("c"),
      },
    );
    expect([page.b.kind, page.c.kind]).toEqual(["timed-out", "timed-out"]);
    expect(begun).toEqual([]);
  },
);

it("S5 a scope that is closed by whoever hears of its cancellation leaves no timer for its grace", async () => {
  const clock = new ManualClock();
  const open = openScope({ name: "request", timeoutMs: 1_000, graceMs: 60_000, clock });
  let closed: Promise<unknown> | undefined;
  open.signal.addEventListener("abort", () => {
    closed = open.close();
  });
  await clock.advance(1_000);
  await closed;
  expect(clock.pendingTimers).toBe(0);
});

it("S5 a scope whose forks end before its grace is over leaves no timer for it", async () => {
  const clock = new ManualClock();
  const run = scope({ name: "x", timeoutMs: 1_000, graceMs: 60_000, clock }, (s) =>
    s.fork(
      "listens",
      ({ signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    ),
  ).catch(() => undefined);
  await clock.advance(1_000);
  await run;
  expect(clock.pendingTimers).toBe(0);
});

it("S5 a fork's own deadline is disarmed by its value and by its error", async () => {
  const clock = new ManualClock();
  const options = { name: "x", graceMs: 60_000, clock };
  await scope(options, (s) => s.fork("own", { timeoutMs: 60_000 }, () => 1));
  expect(clock.pendingTimers).toBe(0);
  const failed = scope(options, (s) => s.fork("own", { timeoutMs: 60_000 }, () => Promise.reject(new Error("x"))));
  await expect(failed).rejects.toThrow("x");
  expect(clock.pendingTimers).toBe(0);
});

it("S2 close waits for the forks that still run, and tells them", async () => {
  const clock = new ManualClock();
  const open = openScope({ name: "request", graceMs: 100, clock });
  let end: (() => void) | undefined;
  const work = open.fork("writes", () => new Promise<void>((resolve) => (end = resolve)));
  const told = work.catch((error: unknown) => error);
  let report: unknown;
  const closing = open.close().then((made) => (report = made));
  await clock.advance(99);
  expect(report).toBeUndefined();
  expect(await told).toMatchObject({ code: "SCOPE_SHUTDOWN" });
  end?.();
  await closing;
  expect(report).toMatchObject({ forks: 1, cancelled: 1, zombies: 0, running: 0 });
});

it("firstSuccess without time left starts nothing", async () => {
  let started = false;
  await expect(firstSuccess({ name: "x", timeoutMs: 0 }, { a: () => (started = true) })).rejects.toBeInstanceOf(
    ScopeTimeoutError,
  );
  expect(started).toBe(false);
});
