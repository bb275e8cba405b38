import { AsyncLocalStorage } from "node:async_hooks";
import { tracingChannel } from "node:diagnostics_channel";
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  CallerCancelledError,
  openScope,
  scope,
  scopeChannel,
  ScopeShutdownError,
  ScopeTimeoutError,
  SiblingFailedError,
} from "../src/index.ts";
import type { ScopeEvent, ScopeReport } from "../src/index.ts";
import { hang, untilAborted } from "./work.ts";

function reportOf(events: readonly ScopeEvent[]): ScopeReport {
  const ended = events.find((event) => event.type === "ended");
  if (ended === undefined) throw new Error("the scope has not ended");
  return ended.report;
}

function sumOf(report: ScopeReport): number {
  return report.success + report.failed + report.timedOut + report.cancelled + report.zombies;
}

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

  it("S3 counter-test: with a bare signal a failed sibling, the caller and a shutdown look the same", async () => {
    const reasons = ["failed sibling", "caller", "shutdown"].map(() => {
      const controller = new AbortController();
      const reason = untilAborted(AbortSignal.any([controller.signal])).catch((why: unknown) => why);
      controller.abort();
      return reason;
    });
    const names = (await Promise.all(reasons)).map((reason) => (reason as Error).name);
    expect(new Set(names)).toEqual(new Set(["AbortError"]));
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

  it("S3 a caller that gives up work which has begun may have had an effect, and is told so", async () => {
    const controller = new AbortController();
    const run = scope({ name: "x", signal: controller.signal }, (s) =>
      s.fork("charges", ({ signal }) => untilAborted(signal)),
    );
    const caught = run.catch((error: unknown) => error);
    const gone = new Error("the customer has gone");
    controller.abort(gone);
    expect(await caught).toBeInstanceOf(CallerCancelledError);
    expect(await caught).toMatchObject({ effect: "possible", cause: gone });
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

  it("S4 a zombie that its caller cancelled is no timeout without cancellation", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    const controller = new AbortController();
    const options = { name: "x", signal: controller.signal, clock, onEvent: (event: ScopeEvent) => events.push(event) };
    const run = scope(options, (s) => s.fork("deaf", hang)).catch(() => undefined);
    controller.abort();
    await clock.advance(1_000);
    await run;
    expect(reportOf(events)).toMatchObject({ zombies: 1, timedOut: 0, timeoutsWithoutCancellation: 0 });
    expect(events[0]).toMatchObject({ type: "zombie", because: "cancelled" });
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

it("a tracer hears the beginning and the end of scopes and forks, and its stores are there in the work", async () => {
  const trace = tracingChannel<string, { scope: string; fork: string | null }>(scopeChannel);
  const store = new AsyncLocalStorage<string>();
  const begun: unknown[] = [];
  const ended: unknown[] = [];
  const subscribers = {
    start: ({ scope: name, fork }: { scope: string; fork: string | null }) => begun.push([name, fork]),
    end: () => undefined,
    asyncStart: () => undefined,
    asyncEnd: (message: unknown) => ended.push(message),
    error: () => undefined,
  };
  trace.subscribe(subscribers);
  trace.start.bindStore(store, ({ fork }) => `span of ${fork ?? "all"}`);
  try {
    const stores = await scope({ name: "page" }, async (s) => [
      store.getStore(),
      await s.fork("user", () => store.getStore()),
      await s.fork("cart", { timeoutMs: 1_000 }, async () => store.getStore()),
    ]);
    expect(stores).toEqual(["span of all", "span of user", "span of cart"]);
    expect(begun).toEqual([
      ["page", null],
      ["page", "user"],
      ["page", "cart"],
    ]);
    expect(ended).toMatchObject([{ fork: "user" }, { fork: "cart" }, { fork: null, result: stores }]);
  } finally {
    trace.unsubscribe(subscribers);
    trace.start.unbindStore(store);
  }
  expect(await scope({ name: "page" }, (s) => s.fork("user", () => store.getStore()))).toBeUndefined();
});
