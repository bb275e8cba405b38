import { expect, it } from "vitest";
import { scope, watchEventLoop } from "../src/index.ts";
import type { ScopeEvent } from "../src/index.ts";

function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

async function blocked(events: readonly ScopeEvent[]): Promise<ScopeEvent> {
  for (;;) {
    const event = events.find(({ type }) => type === "loop-blocked");
    if (event !== undefined) return event;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it("reports a blocked event loop with its length and the fork that was running", async () => {
  const events: ScopeEvent[] = [];
  using watch = watchEventLoop({ thresholdMs: 50, onEvent: (event) => events.push(event) });
  await scope({ name: "report" }, (s) =>
    s.fork("render", { timeoutMs: 5_000 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      block(200);
    }),
  );
  const event = await blocked(events);
  expect(event).toMatchObject({ type: "loop-blocked", scope: "report/render" });
  expect(watch.longestMs).toBeGreaterThanOrEqual(100);
  expect(watch.blocks).toBeGreaterThanOrEqual(1);
});

it("names the scope of a function that blocks before its first await", async () => {
  const events: ScopeEvent[] = [];
  using _watch = watchEventLoop({ thresholdMs: 50, onEvent: (event) => events.push(event) });
  await new Promise((resolve) => setTimeout(resolve, 30));
  await scope({ name: "sync" }, () => block(200));
  expect(await blocked(events)).toMatchObject({ scope: "sync" });
});

it("reports without a name when no callback took the time", async () => {
  const events: ScopeEvent[] = [];
  using _watch = watchEventLoop({ thresholdMs: 50, attribute: false, onEvent: (event) => events.push(event) });
  await new Promise((resolve) => setTimeout(resolve, 30));
  await scope({ name: "sync" }, () => block(200));
  expect(await blocked(events)).toMatchObject({ scope: undefined });
});

it.each([9, 1.5, Number.NaN, Infinity])("refuses a threshold of %d ms", (thresholdMs) => {
  expect(() => watchEventLoop({ thresholdMs })).toThrow(RangeError);
});
