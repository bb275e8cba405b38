/** What the types promise; checked by the compiler, run by nobody. */
import type { Effect, HoldfastError } from "@holdfast/core";
import type { Pool } from "pg";
import { expectTypeOf } from "vitest";
import {
  cancellableQuery,
  collect,
  currentDeadline,
  firstSuccess,
  openScope,
  scope,
  withDeadlineFrom,
} from "../src/index.ts";
import type { CancelReason, Collected, CurrentDeadline, ForkContext, ScopeEvent, ScopeReport } from "../src/index.ts";

declare const pool: Pool;
declare const loadUser: (context: ForkContext) => Promise<{ name: string }>;
declare const loadCart: (context: ForkContext) => number;

// Values keep their types through forks and scopes.
expectTypeOf(scope({ name: "x" }, () => 7)).toEqualTypeOf<Promise<number>>();
expectTypeOf(
  scope({ name: "x", timeoutMs: undefined, signal: undefined }, async (s) => {
    expectTypeOf(s.fork("user", loadUser)).toEqualTypeOf<Promise<{ name: string }>>();
    expectTypeOf(s.fork("cart", { timeoutMs: 200 }, loadCart)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(s.fork("cart", undefined, loadCart)).toEqualTypeOf<Promise<number>>();
    return "page";
  }),
).toEqualTypeOf<Promise<string>>();
expectTypeOf<ForkContext["signal"]>().toEqualTypeOf<AbortSignal>();
// @ts-expect-error a scope has a name
void scope({ timeoutMs: 5 }, () => 7);
// @ts-expect-error a callback comes last
void scope(() => 7, { name: "x" });

// Joiners: the winner may be any, the collection has an entry for each.
expectTypeOf(firstSuccess({ name: "x" }, { a: loadUser, b: loadCart })).toEqualTypeOf<
  Promise<number | { name: string }>
>();
expectTypeOf(collect({ name: "x" }, { a: loadUser, b: loadCart })).resolves.toEqualTypeOf<{
  readonly a: Collected<{ name: string }>;
  readonly b: Collected<number>;
}>();
expectTypeOf<Collected<number>["kind"]>().toEqualTypeOf<"success" | "failed" | "timed-out" | "cancelled" | "zombie">();

// S3: the reasons are classes of their own, each with its effect.
expectTypeOf<CancelReason>().toExtend<HoldfastError>();
expectTypeOf<CancelReason["code"]>().toEqualTypeOf<
  "SCOPE_TIMEOUT" | "SCOPE_SIBLING_FAILED" | "SCOPE_SIBLING_WON" | "SCOPE_CALLER_CANCELLED" | "SCOPE_SHUTDOWN"
>();
expectTypeOf<CancelReason["effect"]>().toEqualTypeOf<Effect>();

const open = openScope({ name: "request" });
expectTypeOf(open).toExtend<AsyncDisposable>();
expectTypeOf(open.close()).toEqualTypeOf<Promise<ScopeReport>>();
expectTypeOf(open.run(() => 7)).toEqualTypeOf<number>();
expectTypeOf(currentDeadline()).toEqualTypeOf<CurrentDeadline | undefined>();

// Headers of both kinds; options in the middle may be left out or undefined.
expectTypeOf(withDeadlineFrom(new Headers(), () => 7)).toEqualTypeOf<number>();
expectTypeOf(
  withDeadlineFrom({ "grpc-timeout": "1S", accept: ["a", "b"] }, undefined, () => 7),
).toEqualTypeOf<number>();

// A pool of pg is one that queries can be cancelled on.
expectTypeOf(cancellableQuery<{ id: number }>(pool, "SELECT 1 AS id")).toEqualTypeOf<Promise<{ id: number }[]>>();

// Events are one union: an exhaustive switch needs no default.
function nameOf(event: ScopeEvent): string {
  switch (event.type) {
    case "ended":
      return event.outcome;
    case "zombie":
      return event.because;
    case "zombie-ended":
      return event.result;
    case "loop-blocked":
      return event.scope ?? "unknown";
  }
}
expectTypeOf(nameOf).returns.toBeString();
