/** Fastify → idempotency → a timeout → a provider that charges and then times out, and a client that retries until it hears something final. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil } from "@holdfast/testkit";
import { fastify } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { fastifyIdempotency } from "../src/fastify/index.ts";
import { longLeaseMs, useBench } from "./fixture.ts";

const bench = useBench();
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Charges at once, and answers too late the first time it hears a key. It knows keys again, as payment providers do, or does not. */
async function startProvider(knowsKeys: boolean): Promise<{ url: string; charges: string[] }> {
  const charges: string[] = [];
  const heard = new Set<string>();
  const server = createServer((request, response) => {
    const key = String(request.headers["idempotency-key"]);
    const first = !heard.has(key);
    heard.add(key);
    if (first || !knowsKeys) charges.push(key);
    void delay(first ? 500 : 0).then(() => response.end(JSON.stringify({ charge: charges.indexOf(key) + 1 })));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  closing.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, charges };
}

async function startShop(providerUrl: string, keyFor: (downstreamKey: string) => string): Promise<string> {
  const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
  const app = fastify();
  await app.register(fastifyIdempotency, { idempotency, tenant: () => "shop" });
  app.post("/charges", async (request, reply) => {
    const { downstreamKey = "" } = request.idempotency ?? {};
    // The bulkhead's timeout: the call is given up, what it did is not known.
    const answer = await fetch(providerUrl, {
      method: "POST",
      headers: { "idempotency-key": keyFor(downstreamKey) },
      signal: AbortSignal.timeout(100),
    });
    return reply.code(201).send(await answer.json());
  });
  closing.push(() => app.close());
  return app.listen({ host: "127.0.0.1", port: 0 });
}

async function untilFinal(url: string): Promise<{ statuses: number[]; body: unknown }> {
  const statuses: number[] = [];
  for (;;) {
    const response = await fetch(`${url}/charges`, { method: "POST", headers: { "idempotency-key": "order-1" } });
    statuses.push(response.status);
    // The key is open for a lease.
    if (response.status === 409) await bench.lapse();
    if (response.status < 400) return { statuses, body: await response.json() };
    await response.body?.cancel();
    if (statuses.length > 100) throw new Error(`no answer: ${statuses.join(" ")}`);
    await delay(20);
  }
}

describe("the chain from the client to the provider", () => {
  it("ends in one charge after the client's retries, and every retry after that hears of the same charge", async () => {
    const provider = await startProvider(true);
    const url = await startShop(provider.url, (downstreamKey) => downstreamKey);
    const { statuses, body } = await untilFinal(url);
    expect(provider.charges).toHaveLength(1);
    expect(statuses[0]).toBe(504);
    expect(statuses).toContain(409);
    expect(body).toEqual({ charge: 1 });
    expect((await untilFinal(url)).body).toEqual({ charge: 1 });
    expect(provider.charges).toHaveLength(1);
  });

  it("counter-test: with a key of its own for every attempt the provider charges twice", async () => {
    const provider = await startProvider(true);
    let attempts = 0;
    const url = await startShop(
      provider.url,
      (downstreamKey) => `${downstreamKey}/${(attempts += 1) > 1 ? "again" : "first"}`,
    );
    const shopkeeper = untilFinal(url);
    shopkeeper.catch(() => undefined);
    await pollUntil("it has charged twice", () => provider.charges.length > 1);
    await shopkeeper;
  });
});
