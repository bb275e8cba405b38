/**
 * Idempotency keys for Express 5:
 *
 * ```ts
 * app.use(express.json({ verify: keepRawBody }));
 * app.post("/charges", idempotent(idempotency, { tenant: (request) => accountOf(request) }), async (request, response) => {
 *   const attempt = attemptOf(request);
 *   response.status(201).json(await charge(request.body, attempt));
 * });
 * app.use(idempotencyErrors());      // before your own error handlers
 * ```
 */
export {
  attemptOf,
  idempotencyErrors,
  idempotent,
  keepRawBody,
  type ErrorMiddleware,
  type ExpressOptions,
  type ExpressRequest,
  type Middleware,
} from "./middleware.ts";
