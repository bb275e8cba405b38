/**
 * The guard as Express middleware. It is typed by what it needs of Express, so that any 5.x fits.
 *
 * Express tells a middleware nothing of an error that a later handler throws; `idempotencyErrors` does. Without it such a request counts by
 * the status that the error handlers give it.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { finished } from "node:stream";
import type { Attempt } from "../attempt.ts";
import { parsedBody } from "../http/node-body.ts";
import { clientGone, writeWhole } from "../http/node-message.ts";
import { HeldResponse } from "../http/node-response.ts";
import { HttpGuard } from "../http/guard.ts";
import type { GuardedRequest } from "../http/guard.ts";
import type { HttpOptions } from "../http/options.ts";
import type { Idempotency } from "../idempotency.ts";

/** A request of Express, as far as it is needed here. */
export interface ExpressRequest extends IncomingMessage {
  readonly originalUrl: string;
  readonly body?: unknown;
}

/** Options of the middleware. */
export type ExpressOptions = HttpOptions<ExpressRequest>;

/** A middleware of Express. */
export type Middleware = (request: ExpressRequest, response: ServerResponse, next: (error?: unknown) => void) => void;

/** An error handler of Express. */
export type ErrorMiddleware = (
  error: unknown,
  request: ExpressRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

interface RequestState {
  attempt?: Attempt;
  rawBody?: Buffer;
  thrown?: { readonly error: unknown };
}

const states = new WeakMap<IncomingMessage, RequestState>();

function stateOf(request: IncomingMessage): RequestState {
  let state = states.get(request);
  if (state === undefined) {
    state = {};
    states.set(request, state);
  }
  return state;
}

/** The attempt under which a request is handled; undefined for one that is not guarded. */
export function attemptOf(request: IncomingMessage): Attempt | undefined {
  return states.get(request)?.attempt;
}

/**
 * Keeps the bytes of a body for its fingerprint, which a parsed one has partly lost: `express.json({ verify: keepRawBody })`. Without it the
 * parsed body is compared.
 */
export function keepRawBody(request: IncomingMessage, _response: ServerResponse, bytes: Buffer): void {
  stateOf(request).rawBody = bytes;
}

/** Tells the guard of errors. Put it after the routes and before your own error handlers. */
export function idempotencyErrors(): ErrorMiddleware {
  return (error, request, response, next) => {
    const state = stateOf(request);
    if (!response.writableEnded) state.thrown = { error };
    else if (state.attempt !== undefined) {
      // What is thrown behind an answer does not change it. Express closes the connection for it, which a held answer has yet to take.
      finished(response, () => next(error));
      return;
    }
    next(error);
  };
}

/**
 * A middleware that guards what comes after it. Put it behind the body parsers and the authentication: a body that none of them has read is
 * refused with a TypeError, unless `fingerprint` says what counts.
 * @throws TypeError, RangeError naming the field
 */
export function idempotent(idempotency: Idempotency, options: ExpressOptions): Middleware {
  const guard = new HttpGuard<ExpressRequest>(idempotency, options);

  return (request, response, next) => {
    const header = request.headers["idempotency-key"];
    const keyHeader = Array.isArray(header) ? header.join(", ") : header;
    const { method = "GET", originalUrl: target } = request;
    if (!guard.guards({ request, method, keyHeader })) {
      next();
      return;
    }
    const state = stateOf(request);
    const guarded: GuardedRequest<ExpressRequest> = {
      request,
      method,
      target,
      keyHeader,
      payload: () => state.rawBody ?? parsedBody(request, request.body),
      signal: clientGone(response),
    };
    let held: HeldResponse | undefined;
    const handling = guard.handle(guarded, async (attempt) => {
      // A time limit was faster than the claim. A handler would have its effect, and then fail on a response that is gone.
      if (response.headersSent) return { never: true };
      state.attempt = attempt;
      held = new HeldResponse(response, guard.bodyBytesMax);
      next();
      const produced = await held.produced;
      return { produced, thrown: state.thrown };
    });
    handling
      .then((verdict) => {
        // Somebody else has answered meanwhile.
        if (held === undefined && response.headersSent) return;
        const headOnly = method === "HEAD";
        switch (verdict.kind) {
          case "handled":
            held?.send();
            return;
          case "answer":
            if (held === undefined) writeWhole(response, verdict.response, headOnly);
            else held.replace(verdict.response, headOnly);
            return;
          case "error":
            // Once the handler has answered, its answer is all there is to send.
            if (held === undefined) next(verdict.error);
            else held.send();
            return;
          case "gone":
            response.destroy();
        }
      })
      .catch(next);
  };
}
