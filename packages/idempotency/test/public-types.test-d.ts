/** Types only: tsc checks this file, nothing runs it. */
import type { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import type { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import type { Channel } from "amqplib";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import { consumeOnceOnly, StreamConsumer } from "../src/consumer/index.ts";
import { idempotencyErrors, idempotent, keepRawBody } from "../src/express/index.ts";
import { fastifyIdempotency } from "../src/fastify/index.ts";
import { idempotent as honoIdempotent } from "../src/hono/index.ts";
import type { HonoIdempotency } from "../src/hono/index.ts";
import { idempotentHandler } from "../src/http/index.ts";
import { Idempotency } from "../src/index.ts";
import type { Attempt, RunResult } from "../src/index.ts";
import { consumePayments } from "./consumer/kafka.ts";

declare const redis6: Redis6;
declare const redis5: Redis5;
declare const cluster6: Cluster6;
declare const cluster5: Cluster5;
declare const channel: Channel;

const all: Idempotency[] = [redis6, redis5, cluster6, cluster5].map((redis) => new Idempotency(redis, "payments"));
const idempotency = new Idempotency(redis6, "payments", { leaseMs: undefined, codec: undefined });

const typed: Promise<RunResult<{ id: string }>> = idempotency.run("k", async (attempt: Attempt) => ({
  id: attempt.downstreamKey,
}));
const withOptions: Promise<RunResult<number>> = idempotency.run(
  { key: "k", tenant: "t" },
  { fingerprint: {} },
  () => 1,
);
// @ts-expect-error the callback comes last
void idempotency.run("k", () => 1, {});
// @ts-expect-error onError answers one of three words
void new Idempotency(redis6, "n", { onError: () => "retry" });
// @ts-expect-error a key has a name
void idempotency.inspect({ tenant: "t" });
// @ts-expect-error an outcome has a kind
void idempotency.resolve("k", { value: 1 });

// @ts-expect-error a tenant is required
void idempotentHandler(idempotency, {}, () => new Response());
// @ts-expect-error a tenant is required
void idempotent(idempotency, {});

const application = express();
application.use(express.json({ verify: keepRawBody }));
application.post("/charges", idempotent(idempotency, { tenant: (request) => request.headers["x-tenant"]?.toString() }));
application.use(idempotencyErrors());

const server = fastify();
void server.register(fastifyIdempotency, { idempotency, tenant: (request) => request.headers["x-tenant"]?.toString() });
server.get("/", (request) => request.idempotency?.token);

const hono = new Hono<HonoIdempotency>();
hono.use("/charges", honoIdempotent(idempotency, { tenant: (c) => c.req.header("x-tenant") }));
hono.get("/", (c) => c.json({ number: c.get("idempotency")?.number }));

void consumeOnceOnly(channel, "orders", { idempotency }, (message, attempt) => {
  void message.fields.routingKey.concat(attempt.downstreamKey);
});
void new StreamConsumer(
  cluster6,
  idempotency,
  { stream: "s", group: "g", consumer: "c" },
  ({ fields }) => void fields["id"],
);

export { all, consumePayments, typed, withOptions };
