/** What several attempts of one call add up to: whether it may have had an effect, and when it has left the bulkhead. */
import { createServer, request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ClosedError, OutcomeUnknownError } from "@holdfast/core";
import { ManualClock, pollUntil, SeededRandom } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { AttemptsFailedError, Bulkhead, BulkheadRejectedError, DrainedError, worthRetrying } from "../src/index.ts";
import type { BulkheadOptions, Classify } from "../src/index.ts";
import { noneUnhandled } from "./unhandled.ts";
import { busy, handWork, turn, watch } from "./work.ts";

let clock: ManualClock;
noneUnhandled();

beforeEach(() => {
  clock = new ManualClock();
});

function retrying(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", {
    concurrencyMax: 1,
    timeoutMs: 1_000,
    clock,
    random: new SeededRandom(1),
    ...options,
    retry: { backoff: { baseMs: 100, jitter: 0 }, when: () => true, ...options.retry },
  });
}

/** The provider charges, and its answer is lost on the way. */
const charged = new OutcomeUnknownError("charge", "op-1", { why: "502 from a proxy" });

describe("an attempt that may have had an effect", () => {
  it("is not denied by the refusal of the next one, since the breaker has opened", async () => {
    const one = retrying({ breaker: { callsMin: 1 } });
    let dispatched = 0;
    const run = watch(
      one.run(() => {
        dispatched += 1;
        return Promise.reject(charged);
      }),
    );
    await clock.advance(1_000);
    expect(dispatched).toBe(1);
    expect(run.error).toBeInstanceOf(AttemptsFailedError);
    expect(run.error).toMatchObject({ effect: "possible", cause: charged, attempts: 3 });
    expect(run.error).toMatchObject({ last: { reason: "rejected-open", effect: "none" } });
  });

  it("is not denied by the refusal of the next one, since the queue is full", async () => {
    const one = retrying({ queueMax: 0, retry: { attemptsMax: 2 } });
    const run = watch(one.run(() => Promise.reject(charged)));
    await turn();
    const other = handWork();
    const holder = one.run(() => other.promise);
    await clock.advance(100);
    expect(run.error).toMatchObject({ code: "BULKHEAD_ATTEMPTS_FAILED", effect: "possible", cause: charged });
    expect(run.error).toMatchObject({ last: { reason: "rejected-full" } });
    other.resolve("");
    await holder;
  });

  it("is not denied by a later one that says that it had none", async () => {
    const errors = [charged, busy("the second")];
    const run = watch(retrying({ retry: { attemptsMax: 2 } }).run(() => Promise.reject(errors.shift())));
    await clock.advance(1_000);
    expect(run.error).toMatchObject({ effect: "possible", cause: charged, last: { message: "the second" } });
  });

  it("is not denied when its answer was a value that counts as a failure", async () => {
    const one = retrying({ queueMax: 0, classify: () => "failure", retry: { attemptsMax: 2 } });
    const run = watch(one.run(() => ({ kind: "declined" })));
    await turn();
    const other = handWork();
    const holder = one.run({ retry: false }, () => other.promise);
    await clock.advance(100);
    expect(run.error).toMatchObject({ effect: "possible", last: { reason: "rejected-full" } });
    other.resolve("");
    await holder;
  });

  it("counter-test: after attempts that all say that they had none, the refusal says so too", async () => {
    const one = retrying({ breaker: { callsMin: 2 }, retry: { attemptsMax: 3 } });
    const run = watch(one.run(() => Promise.reject(busy())));
    await clock.advance(1_000);
    expect(run.error).toBeInstanceOf(BulkheadRejectedError);
    expect(run.error).toMatchObject({ reason: "rejected-open", effect: "none" });
  });

  it("is told as it is when it is the last", async () => {
    const errors = [busy(), charged];
    const run = watch(retrying({ retry: { attemptsMax: 2 } }).run(() => Promise.reject(errors.shift())));
    await clock.advance(1_000);
    expect(run.error).toBe(charged);
  });
});

describe("the default rule", () => {
  const coded = (code: string | number, message = "x"): Error => Object.assign(new Error(message), { code });
  const judge = (error: unknown, idempotent?: boolean): boolean =>
    worthRetrying({ attempt: 1, error, value: undefined, idempotent });
  const unsent: [string, Error][] = [
    ["a connection that was refused", coded("ECONNREFUSED")],
    ["an address that is not known", coded("ENOTFOUND")],
    ["a name server that has no time", coded("EAI_AGAIN")],
    ["a connection that did not come about", coded("UND_ERR_CONNECT_TIMEOUT")],
    ["fetch's word for one of them", new TypeError("fetch failed", { cause: coded("ECONNREFUSED") })],
  ];

  it("repeats an error that says itself that it had no effect", () => {
    expect(judge(busy())).toBe(true);
  });

  it.each(unsent)("repeats an idempotent call whose request was not sent: %s", (_, error) => {
    expect(judge(error, true)).toBe(true);
  });

  it.each(unsent)("never repeats another call for what may be about its second request: %s", (_, error) => {
    expect([judge(error), judge(error, false)]).toEqual([false, false]);
  });

  it.each([
    ["an error that says nothing", new Error("500 after the charge")],
    ["undici's headers timeout", new TypeError("fetch failed", { cause: coded("UND_ERR_HEADERS_TIMEOUT") })],
    ["undici's body timeout", coded("UND_ERR_BODY_TIMEOUT")],
    ["axios' timeout", coded("ECONNABORTED")],
    ["a broken pipe", coded("EPIPE")],
    ["a timeout of the network", coded("ETIMEDOUT")],
    ["an abort", new DOMException("aborted", "AbortError")],
    ["a timeout", new DOMException("late", "TimeoutError")],
    ["undici's abort", coded("UND_ERR_ABORTED")],
    ["undici's abort by its code", coded("ABORT_ERR")],
    ["pg's lost connection", new Error("Connection terminated unexpectedly")],
    ["pg's query timeout", new Error("Query read timeout")],
    ["ioredis' command timeout", new Error("Command timed out")],
    ["mysql2's lost connection", coded("PROTOCOL_CONNECTION_LOST")],
    ["gRPC's DEADLINE_EXCEEDED", coded(4)],
    ["a premature close", coded("ERR_STREAM_PREMATURE_CLOSE")],
    [
      "an unknown outcome whose repeat was refused",
      new OutcomeUnknownError("x", "1", { why: "lost", cause: coded("ECONNREFUSED") }),
    ],
    ["a reset that was followed by a refusal", Object.assign(coded("ECONNRESET"), { cause: coded("ECONNREFUSED") })],
    ["something that was thrown and is no error", "no"],
    ["a rejection without a reason", undefined],
    [
      "a chain of causes without an end",
      Object.assign(new Error("x"), {
        get cause() {
          return this;
        },
      }),
    ],
  ])("never repeats what may have had one: %s", (_, error) => {
    expect([judge(error), judge(error, true)]).toEqual([false, false]);
  });

  it.each<[string, unknown]>([
    ["fetch's", new Response(null, { status: 502 })],
    ["axios'", { status: 502, data: "" }],
    ["undici's, got's and Node's", { statusCode: 504, headers: {}, body: "" }],
    ["one beside its data", { data: undefined, response: new Response(null, { status: 504 }) }],
  ])("repeats a value that counts as a failure, an HTTP response only of an idempotent call: %s", (_, value) => {
    const answer = { attempt: 1, error: undefined };
    expect(worthRetrying({ ...answer, value: { kind: "busy" } })).toBe(true);
    expect(worthRetrying({ ...answer, value })).toBe(false);
    expect(worthRetrying({ ...answer, value, idempotent: true })).toBe(true);
  });
});

describe("a charge over HTTP", () => {
  /** A provider that charges for each POST; what it charged, and where it listens. */
  async function provider(answer: (response: ServerResponse) => void) {
    let charges = 0;
    const server = createServer((incoming, response) => {
      incoming.resume();
      if (incoming.method === "POST") charges += 1;
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return {
      charges: () => charges,
      url: `http://127.0.0.1:${port}/`,
      /** Connections that are open. */
      connections: () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))),
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  const patient = (classify?: Classify): Bulkhead =>
    new Bulkhead("payments", { timeoutMs: 60_000, retry: { backoff: { baseMs: 0 } }, classify });

  it("is made once when the redirect after it leads to a host that refuses", async () => {
    const gone = await provider(() => undefined);
    await gone[Symbol.asyncDispose]();
    await using there = await provider((response) => response.writeHead(303, { location: gone.url }).end());
    const charge = patient().run(({ signal }) => fetch(there.url, { method: "POST", body: "x", signal }));
    await expect(charge).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
    expect(there.charges()).toBe(1);
  });

  /** A POST by Node's http, which answers with a stream whose status is called statusCode. */
  const post = (url: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      request(url, { method: "POST", agent: false }, resolve).on("error", reject).end("x");
    });
  const failsAt5xx: Classify = ({ value, error }) =>
    error !== undefined || (value as IncomingMessage).statusCode === 504 ? "failure" : "success";

  it("is made once when a proxy answers that it does not know, and the client calls the status statusCode", async () => {
    await using there = await provider((response) => response.writeHead(504).end());
    const answer = await patient(failsAt5xx).run(() => post(there.url));
    expect([answer.statusCode, there.charges()]).toEqual([504, 1]);
    answer.destroy();
  });

  it.each<[string, (answer: IncomingMessage) => unknown]>([
    ["is a stream", (answer) => answer],
    ["has one as its body", (answer) => ({ statusCode: answer.statusCode, body: answer })],
  ])("that may be repeated lets go of the connection of an answer that nobody will read, which %s", async (_, made) => {
    await using there = await provider((response) => void response.writeHead(504).write("the beginning"));
    const answers = await Promise.all([post(there.url), post(there.url), post(there.url)]);
    const left = [...answers];
    await patient(failsAt5xx).run({ idempotent: true }, () => made(left.shift() as IncomingMessage));
    // The last answer is the caller's.
    expect(answers.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);
    await pollUntil("the others are closed", async () => (await there.connections()) === 1);
    answers[2]?.destroy();
  });
});

describe("a call between two attempts", () => {
  it("is inside: a drain lets it end", async () => {
    const one = retrying();
    const errors = [charged];
    const run = watch(one.run(() => (errors.length > 0 ? Promise.reject(errors.pop()) : "charged at last")));
    await turn();
    const drained = watch(one.drain({ graceMs: 1_000 }));
    await clock.advance(99);
    expect(drained.done).toBe(false);
    await expect(one.run(() => "a newcomer")).rejects.toBeInstanceOf(ClosedError);
    await clock.advance(1);
    expect(run.value).toBe("charged at last");
    expect(drained.value).toEqual({ cancelled: 0, zombies: 0 });
  });

  it("is cancelled when the grace is over, and not begun again", async () => {
    const one = retrying();
    let dispatched = 0;
    const run = watch(
      one.run(() => {
        dispatched += 1;
        return Promise.reject(charged);
      }),
    );
    await turn();
    const drained = watch(one.drain({ graceMs: 50 }));
    await clock.advance(50);
    expect(drained.value).toEqual({ cancelled: 1, zombies: 0 });
    expect(run.error).toBeInstanceOf(DrainedError);
    expect(run.error).toMatchObject({ effect: "possible" });
    await clock.advance(1_000);
    expect(dispatched).toBe(1);
  });
});
