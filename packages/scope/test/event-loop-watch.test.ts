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

/** Blocks until the watch has named the scope: on a busy machine the process itself may stand still for longer than the work blocks. */
async function named(events: ScopeEvent[], scopeName: string, work: () => Promise<unknown>): Promise<boolean> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    events.length = 0;
    await work();
    await blocked(events);
    if (events.some((event) => event.type === "loop-blocked" && event.scope === scopeName)) return true;
  }
  return false;
}

it("reports a blocked event loop with its length and the fork that was running", async () => {
  const events: ScopeEvent[] = [];
  using watch = watchEventLoop({ thresholdMs: 50, onEvent: (event) => events.push(event) });
  const report = (): Promise<unknown> =>
    scope({ name: "report" }, (s) =>
      s.fork("render", { timeoutMs: 60_000 }, async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        block(200);
      }),
    );
  expect(await named(events, "report/render", report)).toBe(true);
  expect(watch.longestMs).toBeGreaterThanOrEqual(100);
  expect(watch.blocks).toBeGreaterThanOrEqual(1);
});

it("names the scope of a function that blocks before its first await", async () => {
  const events: ScopeEvent[] = [];
  using _watch = watchEventLoop({ thresholdMs: 50, onEvent: (event) => events.push(event) });
  const sync = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    await scope({ name: "sync" }, () => block(200));
  };
  expect(await named(events, "sync", sync)).toBe(true);
});

it("goes on naming when another watch has been closed, also more than once", async () => {
  const events: ScopeEvent[] = [];
  const other = watchEventLoop({ thresholdMs: 50 });
  using _watch = watchEventLoop({ thresholdMs: 50, onEvent: (event) => events.push(event) });
  other.close();
  other.close();
  const sync = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    await scope({ name: "sync" }, () => block(200));
  };
  expect(await named(events, "sync", sync)).toBe(true);
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
