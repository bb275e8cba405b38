import { once } from "node:events";
import { ClosedError, OutcomeUnknownError, TooLateError } from "@holdfast/core";
import { ManualClock, SeededRandom } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, worthRetrying } from "../src/index.ts";
import type { BulkheadEvent, FailedAttempt, RetryOptions } from "../src/index.ts";
import { retryAfterMs } from "../src/retry-after.ts";
import { busy, hang, turn, watch } from "./work.ts";

let clock: ManualClock;

beforeEach(() => {
  clock = new ManualClock();
});

function retrying(retry: RetryOptions = {}, events: BulkheadEvent[] = []): Bulkhead {
  return new Bulkhead("payments", {
    concurrencyMax: 1,
    timeoutMs: 1_000,
    clock,
    random: new SeededRandom(1),
    onEvent: (event) => events.push(event),
    retry: { attemptsMax: 3, backoff: { baseMs: 100, jitter: 0 }, ...retry },
  });
}

describe("retries", () => {
  it("repeat what failed, after a growing wait, and give the permit back in between", async () => {
    const one = retrying();
    const startedAtMs: number[] = [];
    const run = watch(
      one.run(() => {
        startedAtMs.push(clock.monotonicMs());
        return startedAtMs.length < 3 ? Promise.reject(busy()) : "third time";
      }),
    );
    await turn();
    expect(one.snapshot().inFlight).toBe(0);
    await expect(one.run(() => "the permit is free")).resolves.toBe("the permit is free");
    await clock.advance(300);
    expect(run.value).toBe("third time");
    expect(startedAtMs).toEqual([0, 100, 300]);
  });

  it("are not made by a bulkhead that is drained: its refusal comes at once", async () => {
    const one = retrying();
    await one.drain({ graceMs: 0 });
    const run = watch(one.run(() => "no"));
    await turn();
    expect(run.error).toBeInstanceOf(ClosedError);
  });

  it("stop at attemptsMax with the last error", async () => {
    const one = retrying();
    let attempts = 0;
    const run = watch(one.run(() => Promise.reject(busy(`attempt ${(attempts += 1)}`))));
    await clock.advance(1_000);
    expect(run.error).toMatchObject({ message: "attempt 3" });
  });

  it("never go past the deadline", async () => {
    const one = retrying({ attemptsMax: 100 });
    let attempts = 0;
    const run = watch(
      one.run({ timeoutMs: 250 }, () => {
        attempts += 1;
        return Promise.reject(busy());
      }),
    );
    await clock.advance(250);
    expect(run.done).toBe(true);
    expect(attempts).toBe(2);
  });

  it("are bounded by the budget: a tenth of the calls, and a few to begin with", async () => {
    const one = retrying({ attemptsMax: 2, backoff: { baseMs: 0, jitter: 0 } });
    let attempts = 0;
    for (let call = 0; call < 1_000; call += 1) {
      const run = watch(
        one.run(() => {
          attempts += 1;
          return Promise.reject(busy("down"));
        }),
      );
      await clock.advance(1);
      expect(run.done).toBe(true);
    }
    expect(attempts).toBeGreaterThan(1_000 + 95);
    expect(attempts).toBeLessThanOrEqual(1_000 + 110);
  });

  it("honour what the dependency asks for, and give up when that is too long", async () => {
    const one = retrying();
    const asked = (retryAfterMs: number): Error => Object.assign(busy(), { retryAfterMs });
    let attempts = 0;
    const run = watch(one.run(() => ((attempts += 1) === 1 ? Promise.reject(asked(700)) : "later")));
    await clock.advance(699);
    expect(run.done).toBe(false);
    await clock.advance(1);
    expect(run.value).toBe("later");
    await expect(one.run(() => Promise.reject(asked(5_000)))).rejects.toMatchObject({ retryAfterMs: 5_000 });
  });

  it.each([
    ["of a response", { status: 503, headers: new Headers({ "Retry-After": "2" }) }],
    ["of an error's response", Object.assign(busy(), { response: { headers: new Headers({ "Retry-After": " 2 " }) } })],
    ["as Node's http module has it", Object.assign(busy(), { response: { headers: { "retry-after": "2" } } })],
    ["as a date", Object.assign(busy(), { response: { headers: { "retry-after": "Tue, 01 Jan 2030 00:00:02 GMT" } } })],
  ])("honour the header Retry-After %s", (_, carrier) => {
    expect(retryAfterMs(carrier, clock.wallMs())).toBe(2_000);
  });

  it.each([
    ["no header", { headers: {} }],
    ["a header that is no time", { headers: { "retry-after": "soon" } }],
    ["a date that has passed", { headers: { "retry-after": "Tue, 01 Jan 2019 00:00:00 GMT" } }],
    ["more of them", { headers: { "retry-after": ["2", "3"] } }],
    ["headers that are none", { headers: "retry-after: 2" }],
    ["a header that is no text", { headers: new Map([["retry-after", 2]]) }],
    ["no object", "2"],
  ])("take %s for nothing asked", (_, carrier) => {
    expect(retryAfterMs(carrier, clock.wallMs())).toBe(0);
  });

  it("never repeat a call that may have had an effect, unless told", async () => {
    const unknown = new OutcomeUnknownError("charge", "op-1", { why: "reset" });
    const count = async (retry: RetryOptions, error: unknown): Promise<number> => {
      let attempts = 0;
      const run = watch(
        retrying(retry).run(() => {
          attempts += 1;
          return Promise.reject(error);
        }),
      );
      await clock.advance(1_000);
      expect(run.done).toBe(true);
      return attempts;
    };
    expect(await count({}, unknown)).toBe(1);
    expect(await count({}, Object.assign(new Error("reset"), { code: "ECONNRESET" }))).toBe(1);
    expect(
      await count({}, new Error("fetch failed", { cause: Object.assign(new Error("x"), { code: "UND_ERR_SOCKET" }) })),
    ).toBe(1);
    expect(await count({}, new TooLateError("x", 1))).toBe(3);
    expect(await count({ when: () => true }, unknown)).toBe(3);
    // A promise is no answer, whatever it will be.
    expect(await count({ when: (async () => false) as never }, unknown)).toBe(1);
    expect(await count({}, Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))).toBe(1);
    const oneRequest = (failed: FailedAttempt): boolean => worthRetrying({ ...failed, idempotent: true });
    expect(await count({ when: oneRequest }, Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))).toBe(3);
  });

  it("do not repeat timeouts and rejections", async () => {
    const one = retrying({ backoff: { baseMs: 0, jitter: 0 } });
    let attempts = 0;
    const late = watch(
      one.run(() => {
        attempts += 1;
        return hang();
      }),
    );
    await clock.advance(1_000);
    expect(late.error).toMatchObject({ name: "CallTimeoutError" });
    expect(attempts).toBe(1);
    await clock.advance(70_000);
  });

  it("end when the caller gives up during the wait", async () => {
    const one = retrying();
    const controller = new AbortController();
    const run = watch(one.run({ signal: controller.signal }, () => Promise.reject(busy())));
    await clock.advance(50);
    controller.abort(new Error("gone"));
    await turn();
    expect(run.error).toMatchObject({ message: "gone" });
    expect(clock.pendingTimers).toBeLessThanOrEqual(1);
  });

  it("are not made where the rule that decides about them throws: the caller gets what the attempt ended with", async () => {
    const warned = once(process, "warning");
    const broken = new Error("the rule is broken");
    const one = retrying({
      when: () => {
        throw broken;
      },
    });
    const unknown = new OutcomeUnknownError("charge", "op-1", { why: "reset" });
    await expect(one.run(() => Promise.reject(unknown))).rejects.toBe(unknown);
    expect(await warned).toEqual([broken]);
  });

  it("wait as long as by default where an option of the backoff is undefined", async () => {
    const one = retrying({ backoff: { baseMs: undefined, delayMaxMs: undefined, jitter: 0 } });
    let attempts = 0;
    const run = watch(one.run(() => ((attempts += 1) < 3 ? Promise.reject(busy()) : "third time")));
    await clock.advance(50 + 100);
    expect(run.value).toBe("third time");
  });

  it("are off for a call that says so", async () => {
    const one = retrying();
    let attempts = 0;
    await one
      .run({ retry: false }, () => {
        attempts += 1;
        return Promise.reject(busy());
      })
      .catch(() => undefined);
    expect(attempts).toBe(1);
  });
});
