import { ManualClock } from "@holdfast/testkit";
import { ambientRemainingMs } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { CallerCancelledError, scope, ScopeTimeoutError, SiblingFailedError } from "../src/index.ts";
import type { ScopeEvent, ScopeReport } from "../src/index.ts";
import { hang, untilAborted } from "./work.ts";

/** A clock that moves without its timers, as when a callback runs for long. */
class BlockedClock extends ManualClock {
  blockedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.blockedMs;
  }
}

function reportOf(events: readonly ScopeEvent[]): ScopeReport {
  const ended = events.find((event) => event.type === "ended");
  if (ended === undefined) throw new Error("the scope has not ended");
  return ended.report;
}

describe("the result of a scope", () => {
  it("is the value of its function once all forks have succeeded", async () => {
    const clock = new ManualClock();
    const page = await scope({ name: "checkout", timeoutMs: 350, graceMs: 100, clock }, async (s) => {
      const user = s.fork("user", () => Promise.resolve("ada"));
      const cart = s.fork("cart", { timeoutMs: 200 }, () => 3);
      return { user: await user, cart: await cart };
    });
    expect(page).toEqual({ user: "ada", cart: 3 });
  });

  it("is the first failure, and the rest is cancelled with a reason that names the failed fork", async () => {
    let reason: unknown;
    const failure = new Error("no such user");
    const run = scope({ name: "checkout", timeoutMs: 350, clock: new ManualClock() }, async (s) => {
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
    const clock = new BlockedClock();
    let ran = false;
    const run = scope({ name: "blocked", timeoutMs: 50, clock }, async (s) => {
      clock.blockedMs = 80;
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
    await scope({ name: "x", timeoutMs: 5_000, clock: new ManualClock() }, (s) => {
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
});
