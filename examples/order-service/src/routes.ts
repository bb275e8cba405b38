/**
 * Owns the HTTP side: what is accepted, and which answer each outcome gets. No decision about an order is taken here.
 */
import type { Attempt, Idempotency } from "@holdfast/idempotency";
import { fastifyIdempotency } from "@holdfast/idempotency/fastify";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Checkout } from "./checkout.ts";
import { ProviderNotAskedError } from "./payment-provider.ts";
import { newOrderSchema, orderIdSchema } from "./request-schemas.ts";
import type { Order, OrderLine } from "./orders.ts";
import type { Readiness } from "./readiness.ts";

/** What the routes work on. */
export interface RouteContext {
  readonly checkout: Checkout;
  readonly readiness: Readiness;
  /** Undefined: repeated requests are not recognised. */
  readonly idempotency: Idempotency | undefined;
  /** Whether an order may say what it takes from stock. */
  readonly takesLines: boolean;
}

interface OrderBody {
  readonly amountCents: number;
  readonly lines?: readonly OrderLine[];
}

type NewOrderRequest = FastifyRequest<{ Body: OrderBody }>;
type OrderRequest = FastifyRequest<{ Params: { id: string } }>;

/** Adds every route to the app. */
export function addRoutes(app: FastifyInstance, context: RouteContext): void {
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply));
  app.addHook("onSend", async (_request, reply) => {
    // Or a connection that is busy when listening ends is kept alive by its client, and the process by the connection.
    if (context.readiness.phase === "draining") reply.header("connection", "close");
  });
  addProbes(app, context.readiness);
  void app.register((orders) => addOrderRoutes(orders, context));
}

function addProbes(app: FastifyInstance, readiness: Readiness): void {
  // Alive is: the event loop turns. Nothing else belongs here, or a slow database restarts every replica.
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    const report = await readiness.report();
    return reply.code(report.ready ? 200 : 503).send(report);
  });
}

async function addOrderRoutes(app: FastifyInstance, context: RouteContext): Promise<void> {
  const { checkout, idempotency } = context;
  app.addHook("onRequest", async (_request, reply) => {
    if (context.readiness.phase === "starting")
      return reply.code(503).header("retry-after", "1").send({ error: "the service is starting" });
  });
  // Every POST below needs an Idempotency-Key: a customer whose answer was lost could only guess without one.
  if (idempotency !== undefined) await app.register(fastifyIdempotency, { idempotency, tenant: accountOf });
  const body = newOrderSchema(context.takesLines);
  app.post<{ Body: OrderBody }>("/orders", { schema: { body } }, (request, reply) =>
    placeOrder(checkout, request, reply),
  );
  const schema = { params: orderIdSchema };
  app.post<{ Params: { id: string } }>("/orders/:id/payment", { schema }, (request, reply) =>
    payOrder(checkout, request, reply),
  );
  app.get<{ Params: { id: string } }>("/orders/:id", { schema }, async (request, reply) => {
    const order = await checkout.find(request.params.id);
    return order === null ? absent(reply, request.params.id) : viewOf(order);
  });
}

/** Whose keys these are: what the gateway has found out about the customer. A gateway that lets this header through from outside is broken. */
function accountOf(request: FastifyRequest): string {
  const account = request.headers["x-account-id"];
  return typeof account === "string" && account !== "" ? account : "anonymous";
}

async function placeOrder(checkout: Checkout, request: NewOrderRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { amountCents, lines = [] } = request.body;
  const placed = await checkout.place({ amountCents, lines }, attemptOf(request));
  switch (placed.kind) {
    case "placed":
      return reply.code(201).header("location", `/orders/${placed.order.id}`).send(viewOf(placed.order));
    case "mismatch":
      return reply.code(422).send({ error: "this key was used for another order; take a new one" });
    case "sold-out":
      return reply.code(409).send({ error: "there is not enough of it", shortages: placed.shortages });
    case "ended":
      return reply.code(409).send({ error: "what was reserved for this order is free again; order anew" });
    case "busy":
      return reply.code(503).header("retry-after", "1").send({ error: "the stock is busy; try again" });
  }
}

async function payOrder(checkout: Checkout, request: OrderRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { id } = request.params;
  const paid = await checkout.pay(id, attemptOf(request));
  switch (paid.kind) {
    case "paid":
      return reply.send({ id, status: "PAID" });
    case "declined":
      return reply.code(402).send({ error: "the payment was declined; pay again with another key", id });
    case "lost":
      return reply.code(409).send({ error: `the order is ${paid.status} already`, id, status: paid.status });
    case "absent":
      return absent(reply, id);
  }
}

/** The request knows of attempts only where the plugin is registered. */
function attemptOf(request: { readonly idempotency?: Attempt | null }): Attempt | null {
  return request.idempotency ?? null;
}

function absent(reply: FastifyReply, id: string): FastifyReply {
  return reply.code(404).send({ error: `there is no order ${id}` });
}

function viewOf(order: Order): object {
  return { ...order, createdAt: order.createdAt.toISOString(), paymentDueAt: order.paymentDueAt.toISOString() };
}

async function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  if (error instanceof ProviderNotAskedError)
    return reply.code(503).header("retry-after", "1").send({ error: "payments are not possible now; try again" });
  const statusCode = error.statusCode ?? 500;
  if (statusCode < 500) return reply.code(statusCode).send({ error: error.message });
  // The details are for the log; a customer gets no host names and no SQL.
  request.log.error({ err: error }, "request failed");
  return reply.code(statusCode).send({ error: "the service could not answer; try again" });
}
