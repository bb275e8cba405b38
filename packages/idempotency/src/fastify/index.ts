/**
 * Idempotency keys for Fastify 5:
 *
 * ```ts
 * await app.register(fastifyIdempotency, { idempotency, tenant: (request) => accountOf(request) });
 * app.post("/charges", async (request, reply) => {
 *   const result = await charge(request.body, request.idempotency);
 *   return reply.code(201).send(result);
 * });
 * ```
 */
export { fastifyIdempotency, type FastifyIdempotencyOptions } from "./plugin.ts";
