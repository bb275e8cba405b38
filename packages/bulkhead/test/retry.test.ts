import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ClosedError, OutcomeUnknownError, TooLateError } from "@holdfast/core";
import { ManualClock, SeededRandom } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead, worthRetrying, wrapFetch, wrapPool } from "../src/index.ts";
import type { BulkheadEvent, RetryOptions } from "../src/index.ts";
import { hang, turn, watch } from "./work.ts";

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
        return startedAtMs.length < 3 ? Promise.reject(new Error("busy")) : "third time";
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
    const run = watch(one.run(() => Promise.reject(new Error(`attempt ${(attempts += 1)}`))));
    await clock.advance(1_000);
    expect(run.error).toMatchObject({ message: "attempt 3" });
  });

  it("never go past the deadline", async () => {
    const one = retrying({ attemptsMax: 100 });
    let attempts = 0;
    const run = watch(
      one.run({ timeoutMs: 250 }, () => {
        attempts += 1;
        return Promise.reject(new Error("busy"));
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
          return Promise.reject(new Error("down"));
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
    const asked = (retryAfterMs: number): Error => Object.assign(new Error("busy"), { retryAfterMs });
    let attempts = 0;
    const run = watch(one.run(() => ((attempts += 1) === 1 ? Promise.reject(asked(700)) : "later")));
    await clock.advance(699);
    expect(run.done).toBe(false);
    await clock.advance(1);
    expect(run.value).toBe("later");
    await expect(one.run(() => Promise.reject(asked(5_000)))).rejects.toMatchObject({ retryAfterMs: 5_000 });
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
    expect(
      worthRetrying({
        attempt: 1,
        error: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }),
        value: undefined,
      }),
    ).toBe(true);
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
    const run = watch(one.run({ signal: controller.signal }, () => Promise.reject(new Error("busy"))));
    await clock.advance(50);
    controller.abort(new Error("gone"));
    await turn();
    expect(run.error).toMatchObject({ message: "gone" });
    expect(clock.pendingTimers).toBeLessThanOrEqual(1);
  });

  it("are off for a call that says so", async () => {
    const one = retrying();
    let attempts = 0;
    await one
      .run({ retry: false }, () => {
        attempts += 1;
        return Promise.reject(new Error("busy"));
      })
      .catch(() => undefined);
    expect(attempts).toBe(1);
  });
});

describe("wrapFetch", () => {
  async function serve(answers: readonly { status: number; headers?: Record<string, string> }[], calls: string[]) {
    const server = createServer((request, response) => {
      calls.push(request.method ?? "");
      const answer = answers[Math.min(calls.length - 1, answers.length - 1)];
      if (answer === undefined) return;
      response.writeHead(answer.status, answer.headers).end("body");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return {
      url: `http://127.0.0.1:${port}/`,
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  it("counts 5xx as failures and hands the response on; 429 says nothing about health", async () => {
    const calls: string[] = [];
    await using server = await serve([{ status: 503 }, { status: 429 }, { status: 404 }, { status: 503 }], calls);
    const one = new Bulkhead("api", { timeoutMs: 60_000, breaker: { callsMin: 3 } });
    const get = wrapFetch(one);
    expect((await get(server.url)).status).toBe(503);
    expect((await get(server.url)).status).toBe(429);
    expect((await get(server.url)).status).toBe(404);
    expect(one.snapshot()).toMatchObject({ state: "closed", outcomes: { failed: 1, success: 2 } });
    expect((await get(server.url)).status).toBe(503);
    await expect(get(server.url)).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("repeats GET after Retry-After, and never POST", async () => {
    const calls: string[] = [];
    await using server = await serve(
      [{ status: 503, headers: { "retry-after": "0" } }, { status: 200 }, { status: 503 }],
      calls,
    );
    const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000, retry: { backoff: { baseMs: 1 } } }));
    expect((await get(server.url)).status).toBe(200);
    expect((await get(server.url, { method: "POST", body: "x" })).status).toBe(503);
    expect(calls).toEqual(["GET", "GET", "POST"]);
  });

  it("a timeout aborts the request", async () => {
    await using server = await serve([], []);
    const get = wrapFetch(new Bulkhead("api", { timeoutMs: 50 }));
    await expect(get(server.url)).rejects.toMatchObject({ name: "CallTimeoutError" });
  });
});

describe("wrapPool", () => {
  function pool() {
    const released: (boolean | Error | undefined)[] = [];
    return {
      released,
      query: async (text: string) => ({ rows: [text] }),
      connect: async () => ({
        query: async (text: string) => ({ rows: [text] }),
        release: (destroy?: boolean | Error) => {
          released.push(destroy);
        },
      }),
    };
  }

  it("a connection holds its permit until it is released", async () => {
    const one = new Bulkhead("db", { concurrencyMax: 1, timeoutMs: 1_000, clock });
    const raw = pool();
    const wrapped = wrapPool(one, raw);
    expect(await wrapped.query("SELECT 1")).toEqual({ rows: ["SELECT 1"] });
    const client = await wrapped.connect();
    expect(one.snapshot().inFlight).toBe(1);
    const waiting = watch(wrapped.query("SELECT 2"));
    await turn();
    expect(waiting.done).toBe(false);
    client.release();
    await turn();
    expect(waiting.value).toEqual({ rows: ["SELECT 2"] });
    expect(raw.released).toEqual([undefined]);
    expect(one.snapshot().inFlight).toBe(0);
  });

  it("a connection that is held too long keeps its permit all the same", async () => {
    const one = new Bulkhead("db", { concurrencyMax: 1, timeoutMs: 1_000, clock });
    const client = await wrapPool(one, pool()).connect();
    await clock.advance(1_000);
    expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1 });
    client.release(true);
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0 });
  });
});
