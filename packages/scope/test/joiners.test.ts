import { ManualClock } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { collect, firstSuccess, NoSuccessError, scope, ScopeTimeoutError, SiblingWonError } from "../src/index.ts";
import { hang, untilAborted } from "./work.ts";

it("firstSuccess resolves to the winner's value and cancels the rest with a reason of its own", async () => {
  let reason: unknown;
  const value = await firstSuccess(
    { name: "replicas", timeoutMs: 1_000, clock: new ManualClock() },
    { a: ({ signal }) => untilAborted(signal, (why) => (reason = why)), b: () => Promise.resolve("b's") },
  );
  expect(value).toBe("b's");
  expect(reason).toBeInstanceOf(SiblingWonError);
  expect(reason).toMatchObject({ sibling: "b" });
});

it("firstSuccess goes on after a failure", async () => {
  const value = await firstSuccess(
    { name: "replicas" },
    {
      a: () => Promise.reject(new Error("down")),
      b: async () => {
        await new Promise(setImmediate);
        return 2;
      },
    },
  );
  expect(value).toBe(2);
});

it("firstSuccess tells all failures when nobody succeeds, and a timeout apart from them", async () => {
  const failures = { a: new Error("a"), b: new Error("b") };
  const none = firstSuccess(
    { name: "x" },
    { a: () => Promise.reject(failures.a), b: () => Promise.reject(failures.b) },
  );
  const error = await none.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(NoSuccessError);
  expect(error).toMatchObject({ errors: failures });
  const clock = new ManualClock();
  const late = firstSuccess({ name: "x", timeoutMs: 10, clock }, { a: hang }).catch((caught: unknown) => caught);
  await clock.advance(200);
  expect(await late).toBeInstanceOf(ScopeTimeoutError);
});

it("collect tells success, failure, own timeout, the scope's timeout and zombies apart", async () => {
  const clock = new ManualClock();
  const failure = new Error("no");
  const run = collect(
    { name: "page", timeoutMs: 100, graceMs: 20, clock },
    {
      ok: () => 1,
      fails: () => Promise.reject(failure),
      listens: ({ signal }) => untilAborted(signal),
      deaf: hang,
    },
  );
  await clock.advance(500);
  const page = await run;
  expect(page.ok).toEqual({ kind: "success", value: 1 });
  expect(page.fails).toEqual({ kind: "failed", error: failure });
  expect(page.listens.kind).toBe("timed-out");
  expect(page.deaf).toMatchObject({ kind: "zombie", error: { name: "ScopeTimeoutError" } });
});

it("collect tells a timeout also of a scope that is named after a route, and from a timeout within a task", async () => {
  const clock = new ManualClock();
  const run = collect(
    { name: "GET /cart", timeoutMs: 100, clock },
    {
      listens: ({ signal }) => untilAborted(signal),
      inner: () => scope({ name: "GET /cart", timeoutMs: 10, clock }, (s) => untilAborted(s.signal)),
    },
  );
  await clock.advance(500);
  expect(await run).toMatchObject({
    listens: { kind: "timed-out", error: { scope: "GET /cart", timeoutMs: 100 } },
    inner: { kind: "failed", error: { name: "ScopeTimeoutError", timeoutMs: 10 } },
  });
});

it("collect reports a cancellation by the caller per task and does not throw", async () => {
  const controller = new AbortController();
  const run = collect(
    { name: "page", signal: controller.signal },
    { a: ({ signal }) => untilAborted(signal), b: () => 2 },
  );
  await new Promise(setImmediate);
  controller.abort();
  expect(await run).toMatchObject({
    a: { kind: "cancelled", error: { name: "CallerCancelledError" } },
    b: { kind: "success", value: 2 },
  });
});

it("collect without time left starts nothing", async () => {
  let ran = false;
  const page = await collect({ name: "page", timeoutMs: 0 }, { a: () => (ran = true) });
  expect(page.a.kind).toBe("timed-out");
  expect(ran).toBe(false);
});

it("joiners refuse an empty set and what is no function", async () => {
  await expect(firstSuccess({ name: "x" }, {})).rejects.toThrow(RangeError);
  await expect(collect({ name: "x" }, { a: 1 as never })).rejects.toThrow(/tasks\.a must be a function/u);
});
