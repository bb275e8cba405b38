/**
 * Idempotency keys for Hono 4:
 *
 * ```ts
 * app.use("/charges", idempotent(idempotency, { tenant: (c) => accountOf(c) }));
 * app.post("/charges", async (c) => c.json(await charge(await c.req.json(), c.get("idempotency")), 201));
 * ```
 */
export { idempotent, type HonoIdempotency, type HonoOptions } from "./middleware.ts";
