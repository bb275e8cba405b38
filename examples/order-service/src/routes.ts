/**
 * Owns the HTTP side: what is accepted, and which answer each outcome gets. No decision about an order is taken here.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Order, Orders } from "./orders.ts";
import type { PaymentTimeouts } from "./payment-timeouts.ts";
import type { Readiness } from "./readiness.ts";

/** What the routes work on. */
export interface RouteContext {
  readonly orders: Orders;
  readonly timeouts: PaymentTimeouts;
  readonly readiness: Readiness;
  readonly paymentTimeoutMs: number;
}

const AMOUNT_MAX_CENTS = 100_000_000;

const newOrderSchema = {
  type: "object",
  required: ["amountCents"],
  additionalProperties: false,
  properties: { amountCents: { type: "integer", minimum: 1, maximum: AMOUNT_MAX_CENTS } },
} as const;

const orderIdSchema = {
  type: "object",
  required: ["id"],
  properties: { id: { type: "string", format: "uuid" } },
} as const;

type OrderRequest = FastifyRequest<{ Params: { id: string } }>;

/** Adds every route to the app. */
export function addRoutes(app: FastifyInstance, context: RouteContext): void {
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply));
  app.addHook("onSend", async (_request, reply) => {
    // Or a connection that is busy when listening ends is kept alive by its client, and the process by the connection.
    if (context.readiness.phase === "draining") reply.header("connection", "close");
  });
  addProbes(app, context.readiness);
  void app.register(async (orders) => {
    orders.addHook("onRequest", async (_request, reply) => {
      if (context.readiness.phase === "starting")
        return reply.code(503).header("retry-after", "1").send({ error: "the service is starting" });
    });
    orders.post<{ Body: { amountCents: number } }>("/orders", { schema: { body: newOrderSchema } }, (request, reply) =>
      placeOrder(context, request, reply),
    );
    orders.post<{ Params: { id: string } }>(
      "/orders/:id/payment",
      { schema: { params: orderIdSchema } },
      (request, reply) => payOrder(context, request, reply),
    );
    orders.get<{ Params: { id: string } }>(
      "/orders/:id",
      { schema: { params: orderIdSchema } },
      async (request, reply) => {
        const order = await context.orders.find(request.params.id);
        return order === null ? absent(reply, request.params.id) : viewOf(order);
      },
    );
  });
}

function addProbes(app: FastifyInstance, readiness: Readiness): void {
  // Alive is: the event loop turns. Nothing else belongs here, or a slow database restarts every replica.
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    const report = await readiness.report();
    return reply.code(report.ready ? 200 : 503).send(report);
  });
}

async function placeOrder(
  { orders, timeouts, paymentTimeoutMs }: RouteContext,
  request: FastifyRequest<{ Body: { amountCents: number } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const order = await orders.place(request.body.amountCents, paymentTimeoutMs);
  try {
    await timeouts.schedule(order.id, paymentTimeoutMs);
  } catch (error) {
    // The order is placed, and a customer who hears an error would place it again. Its timeout comes from the next reconcile.
    request.log.warn({ err: error, orderId: order.id }, "payment timeout not scheduled, left to reconcile");
  }
  return reply.code(201).header("location", `/orders/${order.id}`).send(viewOf(order));
}

async function payOrder(
  { orders, timeouts }: RouteContext,
  request: OrderRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { id } = request.params;
  const decision = await orders.pay(id);
  switch (decision.kind) {
    case "decided":
      // Tidying up, for which the customer does not wait: a timeout that comes all the same is refused by the compare-and-set.
      timeouts
        .cancel(id)
        .catch((error: unknown) => request.log.warn({ err: error, orderId: id }, "payment timeout not cancelled"));
      return reply.send({ id, status: "PAID" });
    case "lost":
      return reply.code(409).send({ error: `the order is ${decision.status} already`, id, status: decision.status });
    case "absent":
      return absent(reply, id);
  }
}

function absent(reply: FastifyReply, id: string): FastifyReply {
  return reply.code(404).send({ error: `there is no order ${id}` });
}

function viewOf(order: Order): object {
  return { ...order, createdAt: order.createdAt.toISOString(), paymentDueAt: order.paymentDueAt.toISOString() };
}

async function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const statusCode = error.statusCode ?? 500;
  if (statusCode < 500) return reply.code(statusCode).send({ error: error.message });
  // The details are for the log; a customer gets no host names and no SQL.
  request.log.error({ err: error }, "request failed");
  return reply.code(statusCode).send({ error: "the service could not answer; try again" });
}
