import { ambientRemainingMs } from "@holdfast/core";
import { ManualClock } from "@holdfast/testkit";
import { expect, it } from "vitest";
import {
  currentDeadline,
  deadlineHeaders,
  openScope,
  pause,
  scope,
  ScopeTimeoutError,
  watchScopes,
  withDeadlineFrom,
} from "../src/index.ts";
import { hang, untilAborted } from "./work.ts";

it("there is no current deadline outside of a scope, and no header", () => {
  expect(currentDeadline()).toBeUndefined();
  expect(deadlineHeaders()).toEqual({});
});

it("a scope that has no deadline is found by name, and its signal tells the work when it is cancelled", async () => {
  const caller = new AbortController();
  let found: ReturnType<typeof currentDeadline>;
  const run = scope({ name: "report", signal: caller.signal, graceMs: 0 }, (s) =>
    s.fork("reads", ({ signal }) => {
      found = currentDeadline();
      expect(found).toMatchObject({ scope: "report" });
      expect([found?.remainingMs(), deadlineHeaders()]).toEqual([Infinity, {}]);
      return untilAborted(signal);
    }),
  );
  caller.abort(new Error("gone"));
  await expect(run).rejects.toMatchObject({ code: "SCOPE_CALLER_CANCELLED" });
  expect([found?.remainingMs(), found?.signal?.aborted]).toEqual([0, true]);
});

it("S1 the deadline travels in a header and is never longer at the other side", async () => {
  const clock = new ManualClock();
  const run = scope({ name: "client", timeoutMs: 350, clock }, async () => {
    expect(currentDeadline()).toMatchObject({ scope: "client" });
    return deadlineHeaders(50);
  });
  await clock.advance(0);
  const headers = await run;
  expect(headers).toEqual({ "x-holdfast-timeout-ms": "300" });
  const left = withDeadlineFrom(headers, { clock }, () => currentDeadline()?.remainingMs());
  expect(left).toBe(300);
});

it.each([
  [{ "x-envoy-expected-rq-timeout-ms": "120" }, 120],
  [{ "grpc-timeout": "2S" }, 2_000],
  [{ "grpc-timeout": "2H" }, 7_200_000],
  [{ "grpc-timeout": "3M" }, 180_000],
  [{ "grpc-timeout": "45m" }, 45],
  [{ "grpc-timeout": "1500u" }, 1.5],
  [{ "grpc-timeout": "99999999n" }, 99.999999],
  [{ "x-holdfast-timeout-ms": ["80", "90"], "grpc-timeout": "1M" }, 80],
  [new Headers({ "X-Holdfast-Timeout-Ms": "70" }), 70],
])("%j gives %d ms", (headers, expectedMs) => {
  const clock = new ManualClock();
  expect(withDeadlineFrom(headers, { clock }, () => currentDeadline()?.remainingMs())).toBeCloseTo(expectedMs, 6);
});

it.each(["", "soon", "-5", "1e3", "12.5", "123456789S", "1D", "9999999999999"])(
  "a malformed timeout %j counts as absent",
  (value) => {
    expect(
      withDeadlineFrom({ "grpc-timeout": value, "x-holdfast-timeout-ms": value }, () => currentDeadline()),
    ).toBeUndefined();
  },
);

it("a deadline further away than a day becomes a day", () => {
  const clock = new ManualClock();
  const left = withDeadlineFrom({ "grpc-timeout": "99999999H" }, { clock }, () => currentDeadline()?.remainingMs());
  expect(left).toBe(86_400_000);
});

it("S1 what is left of a millisecond is not sent along", () => {
  const clock = new ManualClock();
  const sent = withDeadlineFrom({ "grpc-timeout": "1999u" }, { clock }, () => deadlineHeaders());
  expect(sent).toEqual({ "x-holdfast-timeout-ms": "1" });
});

it("S1 code that an open scope runs is under its deadline, and none is left when it is cancelled", async () => {
  const clock = new ManualClock();
  const open = openScope({ name: "request", timeoutMs: 500, graceMs: 1_000, clock });
  void open.fork("deaf", hang).catch(() => undefined);
  const current = open.run(() => currentDeadline());
  expect(current).toMatchObject({ scope: "request" });
  await clock.advance(100);
  expect([current?.remainingMs(), open.run(() => ambientRemainingMs()), open.remainingMs()]).toEqual([400, 400, 400]);
  const closing = open.close();
  expect([current?.remainingMs(), open.remainingMs()]).toEqual([0, 0]);
  expect(current?.signal?.aborted).toBe(true);
  await clock.advance(1_000);
  await closing;
});

it("a request whose caller has given up is refused before any work", () => {
  expect(() => withDeadlineFrom({ "x-holdfast-timeout-ms": "0" }, hang)).toThrow(ScopeTimeoutError);
});

it("a local maximum bounds what the caller asks for, and stands in when it asks for nothing", () => {
  const clock = new ManualClock();
  const left = (headers: Record<string, string>): number | undefined =>
    withDeadlineFrom(headers, { clock, timeoutMaxMs: 500 }, () => currentDeadline()?.remainingMs());
  expect(left({ "x-holdfast-timeout-ms": "60000" })).toBe(500);
  expect(left({})).toBe(500);
});

it("pause ends with its scope", async () => {
  const clock = new ManualClock();
  const run = scope({ name: "x", timeoutMs: 10, clock }, (s) => s.fork("waits", () => pause(60_000, clock)));
  const caught = run.catch((error: unknown) => error);
  await clock.advance(10);
  expect(await caught).toBeInstanceOf(ScopeTimeoutError);
  await clock.advance(0);
  expect(clock.pendingTimers).toBeLessThanOrEqual(1);
});

it("watchScopes adds up all scopes of a name and knows the zombies that run now", async () => {
  const clock = new ManualClock();
  using watch = watchScopes();
  let finish: (() => void) | undefined;
  const first = scope({ name: "page", timeoutMs: 10, graceMs: 5, clock }, (s) =>
    s.fork("slow", () => new Promise<void>((resolve) => (finish = resolve))),
  ).catch(() => undefined);
  const second = scope({ name: "page", timeoutMs: 10, clock }, (s) =>
    s.fork("listens", ({ signal }) => untilAborted(signal)),
  ).catch(() => undefined);
  await clock.advance(100);
  await Promise.all([first, second]);
  expect(watch.totals().get("page")).toMatchObject({ scopes: 2, forks: 2, zombies: 1, timedOut: 1, zombiesRunning: 1 });
  finish?.();
  await clock.advance(0);
  expect(watch.totals().get("page")).toMatchObject({ zombies: 1, zombiesRunning: 0 });
});
