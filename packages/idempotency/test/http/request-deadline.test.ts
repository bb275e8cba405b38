/** A deadline that a request came with counts from then on, and not only once its key is claimed. */
import { withAmbientDeadline } from "@holdfast/core";
import { LeapClock } from "@holdfast/testkit";
import fastify from "fastify";
import { describe, expect, it } from "vitest";
import { fastifyIdempotency } from "../../src/fastify/index.ts";
import { idempotentHandler } from "../../src/http/index.ts";
import type { WebOptions } from "../../src/http/index.ts";
import { uniqueName, useBench } from "../fixture.ts";

const bench = useBench();

/** What a request is answered whose deadline of a second is set to it before its guard. */
async function answered(
  options: Partial<WebOptions>,
  {
    clock = new LeapClock(),
    body = "{}",
    passed = false,
  }: { clock?: LeapClock; body?: string | ReadableStream; passed?: boolean },
): Promise<{ readonly status: number; readonly runs: number }> {
  let runs = 0;
  const idempotency = bench.idempotency({}, undefined, uniqueName());
  await idempotency.run("warm", () => 1);
  const handle = idempotentHandler(idempotency, { tenant: () => "acme", ...options }, () => {
    runs += 1;
    return new Response("done", { status: 201 });
  });
  const headers = { "idempotency-key": "k" };
  const request = new Request("http://shop/orders", { method: "POST", headers, body, duplex: "half" });
  const { status } = await withAmbientDeadline(
    1_000,
    () => {
      if (passed) clock.leap(1_000);
      return handle(request);
    },
    clock,
  );
  return { status, runs };
}

describe("a deadline of a request", () => {
  it("I1 that passes while its tenant is looked up: nothing runs", async () => {
    const clock = new LeapClock();
    const tenant = async (): Promise<string> => {
      clock.leap(1_000);
      return "acme";
    };
    expect(await answered({ tenant }, { clock })).toEqual({ status: 503, runs: 0 });
  });

  it("I1 that passes while what tells its payload apart is worked out: nothing runs", async () => {
    const clock = new LeapClock();
    const fingerprint = async (): Promise<string> => {
      clock.leap(1_000);
      return "same";
    };
    expect(await answered({ fingerprint }, { clock })).toEqual({ status: 503, runs: 0 });
  });

  it("I1 that passes while its body arrives: nothing runs", async () => {
    const clock = new LeapClock();
    const arriving = async function* (): AsyncGenerator<Buffer> {
      clock.leap(1_000);
      yield Buffer.from("{}");
    };
    const body = ReadableStream.from(arriving());
    expect(await answered({}, { clock, body })).toEqual({ status: 503, runs: 0 });
  });

  it("I1 that passes while its body arrives at Fastify: nothing runs", async () => {
    const clock = new LeapClock();
    const idempotency = bench.idempotency({}, undefined, uniqueName());
    await idempotency.run("warm", () => 1);
    await using app = fastify();
    app.addHook("onRequest", (_request, _reply, done) => withAmbientDeadline(1_000, done, clock));
    await app.register(fastifyIdempotency, { idempotency, tenant: () => "acme" });
    let leapMs = 0;
    app.addHook("preValidation", (_request, _reply, done) => {
      clock.leap(leapMs);
      done();
    });
    app.post("/orders", async (_request, reply) => reply.code(201).send());
    const answer = async (key: string): Promise<number> =>
      (await app.inject({ method: "POST", url: "/orders", headers: { "idempotency-key": key }, payload: {} }))
        .statusCode;
    expect(await answer("in-time")).toBe(201);
    leapMs = 1_000;
    expect(await answer("late")).toBe(503);
  });

  it("that is not over, or that was over before, as where the server was started under it: it runs", async () => {
    expect(await answered({}, {})).toEqual({ status: 201, runs: 1 });
    expect(await answered({}, { passed: true })).toEqual({ status: 201, runs: 1 });
  });
});
