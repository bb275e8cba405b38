import { ManualClock } from "@holdfast/testkit";
import { ambientRemainingMs } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import {
  CallerCancelledError,
  openScope,
  scope,
  ScopeEndedError,
  ScopeShutdownError,
  ScopeTimeoutError,
  SiblingFailedError,
} from "../src/index.ts";
import type { Scope, ScopeEvent, ScopeReport } from "../src/index.ts";
import { hang, untilAborted } from "./work.ts";

function reportOf(events: readonly ScopeEvent[]): ScopeReport {
  const ended = events.find((event) => event.type === "ended");
  if (ended === undefined) throw new Error("the scope has not ended");
  return ended.report;
}

function sumOf(report: ScopeReport): number {
  return report.success + report.failed + report.timedOut + report.cancelled + report.zombies;
}

describe("the result of a scope", () => {
  it("is the value of its function once all forks have succeeded", async () => {
    const page = await scope({ name: "checkout", timeoutMs: 350, graceMs: 100 }, async (s) => {
      const user = s.fork("user", () => Promise.resolve("ada"));
      const cart = s.fork("cart", { timeoutMs: 200 }, () => 3);
      return { user: await user, cart: await cart };
    });
    expect(page).toEqual({ user: "ada", cart: 3 });
  });

  it("is the first failure, and the rest is cancelled with a reason that names the failed fork", async () => {
    let reason: unknown;
    const failure = new Error("no such user");
    const run = scope({ name: "checkout", timeoutMs: 350 }, async (s) => {
      const slow = s.fork("slow", ({ signal }) => untilAborted(signal, (why) => (reason = why)));
      const user = s.fork("user", async () => Promise.reject(failure));
      return [await slow, await user];
    });
    await expect(run).rejects.toBe(failure);
    expect(reason).toBeInstanceOf(SiblingFailedError);
    expect(reason).toMatchObject({ sibling: "user", scope: "checkout", cause: failure });
  });

  it("is a failure even when the function swallowed it, since the other forks were cancelled for it", async () => {
    const failure = new Error("down");
    const run = scope({ name: "checkout" }, async (s) =>
      s.fork("a", () => Promise.reject(failure)).catch(() => "fallback"),
    );
    await expect(run).rejects.toBe(failure);
  });

  it("is the function's own error, after the forks have ended", async () => {
    const events: ScopeEvent[] = [];
    const failure = new Error("bug");
    const run = scope({ name: "checkout", onEvent: (event) => events.push(event) }, (s) => {
      void s.fork("a", ({ signal }) => untilAborted(signal));
      throw failure;
    });
    await expect(run).rejects.toBe(failure);
    expect(reportOf(events)).toMatchObject({ forks: 1, cancelled: 1, running: 0 });
  });

  it("takes a fork that throws synchronously and one that returns no promise as any other", async () => {
    await expect(
      scope({ name: "x" }, (s) =>
        s.fork("a", () => {
          throw new Error("at once");
        }),
      ),
    ).rejects.toThrow("at once");
    await expect(scope({ name: "x" }, (s) => s.fork("a", () => 7))).resolves.toBe(7);
  });
});

describe("S1 deadlines", () => {
  it("S1 a child never has more time than its scope", async () => {
    const clock = new ManualClock();
    const left: number[] = [];
    const run = scope({ name: "outer", timeoutMs: 100, clock }, async (s) => {
      await s.fork("long", { timeoutMs: 10_000 }, ({ remainingMs }) => left.push(remainingMs()));
      await s.fork("short", { timeoutMs: 30 }, ({ remainingMs }) => left.push(remainingMs(), ambientRemainingMs()));
    });
    await clock.advance(0);
    await run;
    expect(left).toEqual([100, 30, 30]);
  });

  it("S1 a nested scope with a longer deadline has returned, grace included, when the outer deadline comes", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    let innerEndedAtMs = Infinity;
    const run = scope(
      { name: "outer", timeoutMs: 1_000, graceMs: 100, clock, onEvent: (event) => events.push(event) },
      (s) =>
        s.fork("inner", async () => {
          // Its work ignores the signal, so that only its own grace ends it.
          const inner = scope({ name: "inner", timeoutMs: 60_000, graceMs: 5_000, clock }, (t) => t.fork("deaf", hang));
          await inner.catch(() => undefined);
          innerEndedAtMs = clock.monotonicMs();
        }),
    ).catch((error: unknown) => error);
    await clock.advance(2_000);
    expect(await run).toBeUndefined();
    expect(innerEndedAtMs).toBeLessThanOrEqual(1_000);
    expect(reportOf(events)).toMatchObject({ forks: 1, success: 1, zombies: 0 });
  });

  it("S1 counter-test: the same nested scope outside of the outer one takes its own time", async () => {
    const clock = new ManualClock();
    let endedAtMs = 0;
    const inner = scope({ name: "inner", timeoutMs: 60_000, graceMs: 5_000, clock }, (t) => t.fork("deaf", hang));
    void inner.catch(() => (endedAtMs = clock.monotonicMs()));
    await clock.advance(70_000);
    expect(endedAtMs).toBe(65_000);
  });

  it("S1 a cancellation reaches nested scopes, and they have returned before the outer grace is over", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    let inner: unknown;
    const controller = new AbortController();
    const options = {
      name: "outer",
      graceMs: 100,
      clock,
      signal: controller.signal,
      onEvent: (event: ScopeEvent) => events.push(event),
    };
    const run = scope(options, (s) =>
      s.fork("branch", async () => {
        inner = await scope({ name: "inner", graceMs: 5_000, clock }, (t) => t.fork("deaf", hang)).catch(
          (error: unknown) => error,
        );
      }),
    ).catch((error: unknown) => error);
    await clock.advance(10);
    controller.abort(new Error("client went away"));
    await clock.advance(100);
    expect(inner).toBeInstanceOf(CallerCancelledError);
    expect(await run).toBe(inner);
    expect(reportOf(events)).toMatchObject({ cancelled: 1, zombies: 0 });
  });

  it("S1 a scope without time left is refused before its function runs, with effect none", async () => {
    const clock = new ManualClock();
    let ran = false;
    const run = scope({ name: "late", timeoutMs: 0, clock }, () => (ran = true));
    await expect(run).rejects.toMatchObject({ name: "ScopeTimeoutError", effect: "none" });
    expect(ran).toBe(false);
  });

  it("S1 a fork after the deadline is not started, even when the loop was blocked and no timer has run", async () => {
    const clock = new ManualClock();
    let ran = false;
    const run = scope({ name: "blocked", timeoutMs: 50, clock }, async (s) => {
      // The clock moves without its timers, as when a callback runs for long.
      Object.assign(clock, { nowMs: 80 });
      await s.fork("a", () => (ran = true));
    });
    const error = await run.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ScopeTimeoutError);
    expect(error).toMatchObject({ lateByMs: 30 });
    expect(ran).toBe(false);
  });
});

describe("S2 the end of a scope", () => {
  it("S2 waits for forks that nobody awaits", async () => {
    let done = false;
    await scope({ name: "x", timeoutMs: 5_000 }, (s) => {
      void s.fork("background", async () => {
        await new Promise(setImmediate);
        done = true;
      });
    });
    expect(done).toBe(true);
  });

  it("S2 returns at deadline + grace when work ignores its signal, names it a zombie and reports when it ends", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    let finish: ((value: string) => void) | undefined;
    let endedAtMs = 0;
    const run = scope(
      { name: "checkout", timeoutMs: 350, graceMs: 100, clock, onEvent: (event) => events.push(event) },
      (s) => s.fork("recommendations", () => new Promise<string>((resolve) => (finish = resolve))),
    ).catch((error: unknown) => {
      endedAtMs = clock.monotonicMs();
      return error;
    });
    await clock.advance(349);
    expect(events).toEqual([]);
    await clock.advance(5_000);
    expect(await run).toBeInstanceOf(ScopeTimeoutError);
    expect(endedAtMs).toBe(450);
    expect(events).toMatchObject([
      { type: "zombie", scope: "checkout", fork: "recommendations", runningMs: 450, because: "timed-out" },
      { type: "ended", outcome: "timed-out", durationMs: 450 },
    ]);
    finish?.("too late");
    await clock.advance(0);
    expect(events.at(-1)).toMatchObject({
      type: "zombie-ended",
      fork: "recommendations",
      runMs: 5_349,
      result: "value",
    });
  });

  it("S2 counter-test: work that listens to its signal is no zombie, and the scope does not wait for the grace", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    let endedAtMs = 0;
    const run = scope(
      { name: "checkout", timeoutMs: 350, graceMs: 100, clock, onEvent: (event) => events.push(event) },
      (s) => s.fork("listens", ({ signal }) => untilAborted(signal)),
    ).catch(() => (endedAtMs = clock.monotonicMs()));
    await clock.advance(1_000);
    await run;
    expect(endedAtMs).toBe(350);
    expect(reportOf(events)).toMatchObject({ timedOut: 1, zombies: 0, timeoutsWithoutCancellation: 0 });
  });

  it("S2 a failure ends the scope one grace later at most, not at its far deadline", async () => {
    const clock = new ManualClock();
    let endedAtMs = 0;
    const run = scope({ name: "x", timeoutMs: 60_000, graceMs: 100, clock }, (s) => {
      void s.fork("deaf", hang);
      return s.fork("fails", () => Promise.reject(new Error("no")));
    }).catch(() => (endedAtMs = clock.monotonicMs()));
    await clock.advance(60_000);
    await run;
    expect(endedAtMs).toBe(100);
  });

  it("S2 a function that never returns does not keep its scope open", async () => {
    const clock = new ManualClock();
    const run = scope({ name: "stuck", timeoutMs: 10, graceMs: 5, clock }, hang).catch((error: unknown) => error);
    await clock.advance(15);
    expect(await run).toBeInstanceOf(ScopeTimeoutError);
  });

  it("refuses a fork once the scope has ended", async () => {
    let leaked: Scope | undefined;
    await scope({ name: "x" }, (s) => {
      leaked = s;
    });
    expect(() => leaked?.fork("late", () => 1)).toThrow(ScopeEndedError);
  });
});

describe("S3 cancellation reasons", () => {
  async function reasonWhen(
    cancel: (s: { signal: AbortSignal; controller: AbortController; clock: ManualClock }) => Promise<void> | void,
  ) {
    const clock = new ManualClock();
    const controller = new AbortController();
    let reason: unknown;
    const run = scope({ name: "x", timeoutMs: 100, signal: controller.signal, clock }, (s) => {
      void s.fork("watched", ({ signal }) => untilAborted(signal, (why) => (reason = why)));
      return s.fork("other", () => cancel({ signal: s.signal, controller, clock }));
    }).catch(() => undefined);
    await clock.advance(200);
    await run;
    return reason;
  }

  it("S3 tells timeout, failed sibling, caller and shutdown apart by type", async () => {
    expect(await reasonWhen(() => undefined)).toBeInstanceOf(ScopeTimeoutError);
    expect(await reasonWhen(() => Promise.reject(new Error("x")))).toBeInstanceOf(SiblingFailedError);
    expect(await reasonWhen(({ controller }) => controller.abort())).toBeInstanceOf(CallerCancelledError);
    const open = openScope({ name: "request" });
    let reason: unknown;
    const work = open.fork("a", ({ signal }) => untilAborted(signal, (why) => (reason = why)));
    void work.catch(() => undefined);
    await open.close();
    expect(reason).toBeInstanceOf(ScopeShutdownError);
    await expect(work).rejects.toBe(reason);
  });

  it("S3 a fork's own deadline names the fork", async () => {
    const clock = new ManualClock();
    const run = scope({ name: "checkout", timeoutMs: 350, clock }, (s) =>
      s.fork("cart", { timeoutMs: 200 }, ({ signal }) => untilAborted(signal)),
    );
    const caught = run.catch((error: unknown) => error);
    await clock.advance(200);
    expect(await caught).toMatchObject({ name: "ScopeTimeoutError", scope: "checkout/cart", timeoutMs: 200 });
  });

  it("S3 a signal that had aborted before is a cancellation by the caller, with effect none", async () => {
    const run = scope({ name: "x", signal: AbortSignal.abort(new Error("gone")) }, () => 1);
    await expect(run).rejects.toMatchObject({ name: "CallerCancelledError", effect: "none" });
  });
});

describe("S4 outcomes", () => {
  it("S4 sum to the forks, whatever happens to them", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    const run = scope(
      { name: "all", timeoutMs: 100, graceMs: 50, clock, onEvent: (event) => events.push(event) },
      async (s) => {
        await s.fork("ok", () => 1);
        void s.fork("deaf", hang);
        void s.fork("listens", ({ signal }) => untilAborted(signal));
        void s.fork("swallows", ({ signal }) => untilAborted(signal).catch(() => "a value all the same"));
        await hang();
      },
    ).catch(() => undefined);
    await clock.advance(1_000);
    await run;
    const report = reportOf(events);
    expect(report).toMatchObject({ forks: 4, running: 0, success: 1, timedOut: 2, zombies: 1 });
    expect(sumOf(report)).toBe(report.forks);
  });

  it("S4 a subtask that swallows its cancellation is visible as a timeout without cancellation, and as a zombie while it runs on", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    const run = scope(
      { name: "article", timeoutMs: 350, graceMs: 100, clock, onEvent: (event) => events.push(event) },
      (s) =>
        s.fork("writes", async ({ signal }) => {
          try {
            await untilAborted(signal);
          } catch {
            // The warning of the article: the interruption is caught, and the work goes on.
          }
          await hang();
        }),
    ).catch(() => undefined);
    await clock.advance(1_000);
    await run;
    expect(reportOf(events)).toMatchObject({ zombies: 1, timedOut: 0, timeoutsWithoutCancellation: 1 });
  });

  it("S4 counter-test: subtasks that stop count no timeout without cancellation", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    const run = scope({ name: "polite", timeoutMs: 350, clock, onEvent: (event) => events.push(event) }, (s) =>
      s.fork("stops", ({ signal }) => untilAborted(signal)),
    ).catch(() => undefined);
    await clock.advance(1_000);
    await run;
    expect(reportOf(events)).toMatchObject({ timedOut: 1, timeoutsWithoutCancellation: 0 });
  });
});

describe("bad input", () => {
  it.each([
    [{ name: "" }, RangeError],
    [{ name: 7 }, TypeError],
    [{ name: "x", timeoutMs: -1 }, RangeError],
    [{ name: "x", timeoutMs: 1.5 }, RangeError],
    [{ name: "x", timeoutMs: Number.NaN }, RangeError],
    [{ name: "x", timeoutMs: Infinity }, RangeError],
    [{ name: "x", graceMs: "5" }, TypeError],
    [{ name: "x", signal: {} }, TypeError],
    [null, TypeError],
  ])("%j is refused at the call", (options, kind) => {
    expect(() => scope(options as never, () => 1)).toThrow(kind);
    expect(() => scope({ name: "x" }, 1 as never)).toThrow(TypeError);
  });

  it("accepts explicit undefined for every option", async () => {
    const options = {
      name: "x",
      timeoutMs: undefined,
      graceMs: undefined,
      signal: undefined,
      clock: undefined,
      onEvent: undefined,
    };
    await expect(scope(options, () => 1)).resolves.toBe(1);
  });

  it("a wall clock that is stepped changes no deadline", async () => {
    const clock = new ManualClock();
    let error: unknown;
    void scope({ name: "x", timeoutMs: 100, clock }, (s) => s.fork("a", hang)).catch(
      (caught: unknown) => (error = caught),
    );
    clock.stepWall(3_600_000);
    await clock.advance(99);
    expect(error).toBeUndefined();
    clock.stepWall(-7_200_000);
    await clock.advance(101);
    expect(error).toBeInstanceOf(ScopeTimeoutError);
  });
});
