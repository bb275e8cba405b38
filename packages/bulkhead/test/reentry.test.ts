import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, ReentrantCallError } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { noneUnhandled } from "./unhandled.ts";
import { hang, handWork, turn, watch } from "./work.ts";
import type { Watched } from "./work.ts";

let clock: ManualClock;
noneUnhandled();

beforeEach(() => {
  clock = new ManualClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2, timeoutMs: 500, clock, ...options });
}

describe("re-entrant calls", () => {
  it("a call that would wait for its own caller's permit is refused with a clear error", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const run = watch(one.run(() => one.run(() => "inner")));
    await turn();
    expect(run.error).toBeInstanceOf(ReentrantCallError);
    expect(run.error).toMatchObject({ effect: "none", code: "BULKHEAD_REENTRANT" });
  });

  it("callers that hold all permits and wait for each other are freed by refusing one of them", async () => {
    const one = bulkhead({ concurrencyMax: 3 });
    const gate = handWork();
    const runs = [1, 2, 3].map((name) =>
      watch(
        one.run(async () => {
          await gate.promise;
          return one.run(() => `inner ${name}`);
        }),
      ),
    );
    await turn();
    gate.resolve("");
    await turn();
    expect(runs.filter(({ error }) => error instanceof ReentrantCallError)).toHaveLength(1);
    expect(runs.filter(({ value }) => typeof value === "string")).toHaveLength(2);
  });

  it("is found through a bulkhead in between, and allowed while a permit is free", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const between = bulkhead({ concurrencyMax: 1 });
    const through = watch(one.run(() => between.run(() => one.run(() => 1))));
    await turn();
    expect(through.error).toBeInstanceOf(ReentrantCallError);
    const wide = bulkhead({ concurrencyMax: 2 });
    await expect(wide.run(() => wide.run(() => "inner"))).resolves.toBe("inner");
  });

  it("is found also when the call that had the last permit before is a zombie", async () => {
    const one = bulkhead({ concurrencyMax: 2 });
    const first = handWork();
    const run = one.run({ timeoutMs: 5_000 }, () => first.promise);
    void watch(one.run({ timeoutMs: 100 }, hang));
    await clock.advance(100);
    first.resolve("");
    await run;
    const reentrant = watch(one.run(() => one.run(() => "inner")));
    await turn();
    expect(reentrant.error).toBeInstanceOf(ReentrantCallError);
    await clock.advance(70_000);
  });

  it("is not found when the limit was lowered meanwhile: then both end at their deadline, and the permit comes back", async () => {
    const one = bulkhead({ concurrencyMax: 2 });
    const gate = handWork();
    let inner: Watched | undefined;
    const outer = watch(
      one.run(async () => {
        await gate.promise;
        const run = one.run({ timeoutMs: 300 }, () => "inner");
        inner = watch(run);
        return run;
      }),
    );
    one.setLimit(1, "test");
    gate.resolve("");
    await clock.advance(299);
    expect([inner?.done, outer.done]).toEqual([false, false]);
    await clock.advance(1);
    expect(inner?.error).toMatchObject({ reason: "queue-timeout", effect: "none" });
    expect(outer.error).toBe(inner?.error);
    expect(one.snapshot()).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it("work that a call leaves behind may call again once the call is over", async () => {
    const one = bulkhead({ concurrencyMax: 1 });
    const gate = handWork();
    let later: Promise<unknown> | undefined;
    await one.run(() => {
      later = gate.promise.then(async () => one.run(() => "second"));
    });
    const busy = handWork();
    const other = one.run(() => busy.promise);
    gate.resolve("");
    await turn();
    busy.resolve("");
    await other;
    expect(await later).toBe("second");
  });
});
