/** The guard as Hono middleware. */
import type { Context, MiddlewareHandler } from "hono";
import type { Attempt } from "../attempt.ts";
import { HttpGuard } from "../http/guard.ts";
import type { GuardedRequest } from "../http/guard.ts";
import { unreadBody } from "../http/node-body.ts";
import type { HttpOptions } from "../http/options.ts";
import { webResponse } from "../http/web.ts";
import { discard, takeResponse } from "../http/web-body.ts";
import type { TakenResponse } from "../http/web-body.ts";
import type { Idempotency } from "../idempotency.ts";

/** What the middleware adds to a context: `new Hono<HonoIdempotency>()`. */
export interface HonoIdempotency {
  Variables: {
    /** The attempt under which the request is handled; undefined for one that is not guarded. */
    idempotency: Attempt | undefined;
  };
}

/** Options of the middleware. */
export type HonoOptions = HttpOptions<Context>;

/**
 * A middleware that guards what comes after it. Put it behind the authentication.
 * @throws TypeError, RangeError naming the field
 */
export function idempotent(idempotency: Idempotency, options: HonoOptions): MiddlewareHandler<HonoIdempotency> {
  const guard = new HttpGuard<Context>(idempotency, options);

  return async (c, next) => {
    const { method, url, raw } = c.req;
    const keyHeader = c.req.header("idempotency-key");
    if (!guard.guards({ request: c, method, keyHeader })) {
      await next();
      return;
    }
    const { pathname, search } = new URL(url);
    const guarded: GuardedRequest<Context> = {
      request: c,
      method,
      target: pathname + search,
      keyHeader,
      payload: () => bytesOf(c),
      signal: raw.signal,
    };
    let taken: TakenResponse | undefined;
    let broken: { readonly error: unknown } | undefined;
    const verdict = await guard.handle(guarded, async (attempt) => {
      c.set("idempotency", attempt);
      await next();
      try {
        taken = await takeResponse(c.res, guard.bodyBytesMax);
      } catch (error) {
        // What was read of it is lost: what counts is the error, for the app's own handler too.
        broken = { error };
        return { thrown: broken };
      }
      replaceResponse(c, taken.response);
      return { produced: taken.produced, thrown: c.error === undefined ? undefined : { error: c.error } };
    });
    if (broken !== undefined && (verdict.kind === "handled" || verdict.kind === "error")) {
      c.res = undefined;
      throw verdict.kind === "error" ? verdict.error : broken.error;
    }
    if (verdict.kind === "answer") {
      if (taken !== undefined) discard(taken.response);
      replaceResponse(c, webResponse(verdict.response));
    }
    if (verdict.kind === "error" && !c.finalized) throw verdict.error;
    if (verdict.kind === "gone") replaceResponse(c, new Response(null, { status: 499 }));
  };
}

/**
 * The bytes of the body. Hono keeps them for the handler, which may still ask for JSON or text.
 * @throws TypeError when only a form is left of it, which Hono would write in other bytes each time
 */
async function bytesOf({ req }: Context): Promise<Uint8Array> {
  const { formData, arrayBuffer, blob, text } = req.bodyCache;
  if (formData !== undefined && arrayBuffer === undefined && blob === undefined && text === undefined)
    throw unreadBody(req.header("content-type"));
  return new Uint8Array(await req.arrayBuffer());
}

/** Hono would merge the headers of the response that was there before. */
function replaceResponse(c: Context, response: Response): void {
  c.res = undefined;
  c.res = response;
}
