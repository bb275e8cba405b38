/** What is handed over wrongly, too late, or behaves badly: refused at the call, or an outcome like any other. */
import { getEventListeners } from "node:events";
import { ManualClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import {
  collect,
  currentDeadline,
  deadlineHeaders,
  firstSuccess,
  openScope,
  scope,
  ScopeEndedError,
  ScopeTimeoutError,
  withDeadlineFrom,
} from "../src/index.ts";
import type { Scope, ScopeEvent } from "../src/index.ts";
import { hang } from "./work.ts";

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

  it("options in the middle may be left out or undefined", async () => {
    await expect(scope({ name: "x" }, (s) => s.fork("a", undefined, () => 1))).resolves.toBe(1);
  });

  it("options that are no object, and an allowance that is no time, are refused by name", async () => {
    const open = openScope({ name: "x" });
    expect(() => open.fork("a", null as never, () => 1)).toThrow(/options must be an object, got null/u);
    // A number in their place is no time limit that is silently none.
    expect(() => open.fork("a", 200 as never, () => 1)).toThrow(TypeError);
    await open.close();
    expect(() => withDeadlineFrom({}, null as never, () => 1)).toThrow(/options must be an object, got null/u);
    expect(() => withDeadlineFrom({}, 200 as never, () => 1)).toThrow(TypeError);
    for (const allowanceMs of [Number.NaN, -1, "soon" as never]) {
      expect(() => deadlineHeaders(allowanceMs)).toThrow(/allowanceMs must be 0 or more/u);
    }
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

describe("work that behaves badly", () => {
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

  it("tells that a zombie has failed in the end", async () => {
    const clock = new ManualClock();
    const events: ScopeEvent[] = [];
    let fail: ((error: Error) => void) | undefined;
    const options = { name: "x", timeoutMs: 10, graceMs: 5, clock, onEvent: (event: ScopeEvent) => events.push(event) };
    const run = scope(options, (s) => s.fork("late", () => new Promise((_resolve, reject) => (fail = reject))));
    const caught = run.catch((error: unknown) => error);
    await clock.advance(60);
    expect(await caught).toBeInstanceOf(ScopeTimeoutError);
    fail?.(new Error("long after"));
    await clock.advance(0);
    expect(events.at(-1)).toEqual({ type: "zombie-ended", scope: "x", fork: "late", runMs: 60, result: "error" });
  });

  it("takes a thenable that calls back twice, and one that throws, as one outcome", async () => {
    const twice = {
      // oxlint-disable-next-line unicorn/no-thenable
      then(resolve: (value: number) => void, reject: (error: Error) => void) {
        resolve(1);
        reject(new Error("and again"));
        resolve(2);
      },
    };
    const throws = {
      // oxlint-disable-next-line unicorn/no-thenable
      then() {
        throw new Error("no thenable");
      },
    };
    const open = openScope({ name: "x" });
    expect(await open.fork("twice", () => twice as unknown as Promise<number>)).toBe(1);
    await expect(open.fork("throws", () => throws as unknown as Promise<number>)).rejects.toThrow("no thenable");
    expect(await open.close()).toMatchObject({ forks: 2, success: 1, failed: 1, running: 0 });
  });
});

describe("what comes too late", () => {
  it("refuses a fork once the scope has ended", async () => {
    let leaked: Scope | undefined;
    await scope({ name: "x" }, (s) => {
      leaked = s;
    });
    expect(() => leaked?.fork("late", () => 1)).toThrow(ScopeEndedError);
  });

  it("refuses a fork of an open scope that was closed", async () => {
    const open = openScope({ name: "request" });
    await open.close();
    let ran = false;
    expect(() => open.fork("late", () => (ran = true))).toThrow(ScopeEndedError);
    expect(ran).toBe(false);
  });

  it("a fork after the cancellation, in the grace, is not started, rejects with the reason and is counted", async () => {
    const clock = new ManualClock();
    const open = openScope({ name: "request", timeoutMs: 100, graceMs: 50, clock });
    open.fork("deaf", hang).catch(() => undefined);
    await clock.advance(120);
    let ran = false;
    await expect(open.fork("late", () => (ran = true))).rejects.toMatchObject({ scope: "request" });
    expect(ran).toBe(false);
    await clock.advance(50);
    expect(await open.close()).toMatchObject({ forks: 2, timedOut: 1, zombies: 1, running: 0 });
  });

  it("a fork without any time is not started, and fails with effect none", async () => {
    let ran = false;
    const run = scope({ name: "x" }, (s) => s.fork("a", { timeoutMs: 0 }, () => (ran = true)));
    await expect(run).rejects.toMatchObject({ name: "ScopeTimeoutError", scope: "x/a", effect: "none" });
    expect(ran).toBe(false);
  });

  it("S1 a scope under a deadline that has passed is refused before its function runs", async () => {
    const clock = new ManualClock();
    let ran = false;
    const late = withDeadlineFrom({ "grpc-timeout": "20m" }, { clock }, async () => {
      await clock.advance(30);
      expect(currentDeadline()?.remainingMs()).toBe(0);
      await scope({ name: "late", timeoutMs: 60_000, clock }, () => (ran = true));
    });
    await expect(late).rejects.toMatchObject({ name: "ScopeTimeoutError", scope: "late", effect: "none" });
    expect(ran).toBe(false);
  });

  it("a signal that had aborted before starts nothing, in no kind of scope, and is not listened to", async () => {
    const started: string[] = [];
    const signal = AbortSignal.abort(new Error("gone"));
    const note = (name: string) => () => started.push(name);
    const cancelled = { name: "CallerCancelledError", effect: "none" };
    await expect(scope({ name: "x", signal }, note("scope"))).rejects.toMatchObject(cancelled);
    await expect(firstSuccess({ name: "x", signal }, { a: note("first") })).rejects.toMatchObject(cancelled);
    const page = await collect({ name: "x", signal }, { a: note("collect") });
    expect(page.a).toMatchObject({ kind: "cancelled", error: cancelled });
    const open = openScope({ name: "x", signal });
    expect(open.signal.aborted).toBe(true);
    await expect(open.fork("a", note("open"))).rejects.toMatchObject(cancelled);
    await open.close();
    expect(started).toEqual([]);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
