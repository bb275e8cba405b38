/** What becomes of a web body that nobody reads, since another answer took its place: its source is told, or would be kept open. */
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { idempotent } from "../../src/hono/index.ts";
import type { HonoIdempotency } from "../../src/hono/index.ts";
import { idempotentHandler } from "../../src/http/index.ts";
import type { Idempotency } from "../../src/index.ts";
import { longLeaseMs, useBench } from "../fixture.ts";

const bench = useBench();

type Send = () => Promise<Response>;

const request = (): Request =>
  new Request("http://localhost/", { method: "POST", headers: { "idempotency-key": "k" } });

const servers: readonly [string, (idempotency: Idempotency, handler: () => Promise<Response>) => Send][] = [
  [
    "web",
    (idempotency, handler) => {
      const handle = idempotentHandler(idempotency, { tenant: () => "acme" }, handler);
      return () => handle(request());
    },
  ],
  [
    "Hono",
    (idempotency, handler) => {
      const app = new Hono<HonoIdempotency>();
      app.use(idempotent(idempotency, { tenant: () => "acme" }));
      app.post("/", handler);
      return async () => app.request(request());
    },
  ],
];

describe.each(servers)("%s: a stream of an attempt that was overtaken", (_, serverOf) => {
  it.each([
    ["is cancelled", () => undefined],
    [
      "is cancelled, and the client is answered although its source fails at that",
      () => {
        throw new Error("the source does not stop");
      },
    ],
    ["is cancelled, and the client does not wait for its source", () => new Promise<void>(() => undefined)],
  ])("%s", async (__, stop) => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    let cancelled = 0;
    const send = serverOf(idempotency, async () => {
      await idempotency.forget({ key: "k", tenant: "acme" });
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(Buffer.from("one,")),
        cancel() {
          cancelled += 1;
          return stop();
        },
      });
      return new Response(body);
    });
    expect((await send()).status).toBe(409);
    expect(cancelled).toBe(1);
  });
});
