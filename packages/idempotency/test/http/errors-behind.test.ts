/** Errors that a handler of Express throws behind its answer, which is then held back until its outcome is stored. */
import { once } from "node:events";
import { Agent } from "node:http";
import type { AddressInfo } from "node:net";
import { pollUntil } from "@holdfast/testkit";
import express from "express";
import type { ErrorRequestHandler } from "express";
import { afterEach, describe, expect, it } from "vitest";
import { idempotencyErrors, idempotent } from "../../src/express/index.ts";
import { gate, longLeaseMs, useBench } from "../fixture.ts";
import { openRequest } from "./client.ts";
import type { Sent } from "./client.ts";

const bench = useBench();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** An app whose handler answers and then throws, with Express' own last error handler, which then closes the connection. */
async function throwing(
  guarded: boolean,
  before?: () => Promise<unknown>,
): Promise<{ seen: unknown[]; open: () => Sent }> {
  const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
  const app = express();
  const seen: unknown[] = [];
  app.use(idempotent(idempotency, { tenant: () => "acme", applies: () => guarded }));
  // Express 5 takes the rejection of a handler for its error.
  // oxlint-disable-next-line oxc/no-async-endpoint-handlers
  app.post("/", async (_request, response) => {
    await before?.();
    response.send("an answer");
    throw new Error("behind it");
  });
  app.use(idempotencyErrors());
  const logs: ErrorRequestHandler = (error, _request, _response, next) => {
    seen.push(error);
    next(error);
  };
  app.use(logs);
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent({ keepAlive: false });
  ends.push(
    () => agent.destroy(),
    () => new Promise((resolve) => server.close(resolve)),
  );
  return { seen, open: () => openRequest((server.address() as AddressInfo).port, agent, "/") };
}

describe("Express: a handler that throws behind its answer", () => {
  it("I2 is answered for, at once and when the request is repeated, and its error handlers are told once", async () => {
    const { seen, open } = await throwing(true);
    for (const replayed of [undefined, "true"]) {
      const { body, headers } = await open().reply;
      expect([body.toString(), headers["idempotency-replayed"]]).toEqual(["an answer", replayed]);
    }
    expect(seen).toMatchObject([{ message: "behind it" }]);
  });

  it("to a client that has gone is answered for when the request is repeated, and its error handlers are told once", async () => {
    const work = gate<void>();
    const { seen, open } = await throwing(true, work.handler);
    const first = open();
    first.reply.catch(() => undefined);
    await work.entered;
    first.abort();
    work.open();
    await pollUntil("its error handlers are told", () => seen.length === 1);
    expect((await open().reply).headers["idempotency-replayed"]).toBe("true");
    expect(seen).toMatchObject([{ message: "behind it" }]);
  });

  it("without a guard is answered for, and its error handlers are told", async () => {
    const { seen, open } = await throwing(false);
    expect((await open().reply).body.toString()).toBe("an answer");
    expect(seen).toMatchObject([{ message: "behind it" }]);
  });
});
