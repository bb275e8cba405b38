/**
 * The guard as a Fastify plugin, in force for the scope that registers it and those below. The key is looked at after validation, so that a
 * request that is refused for its form uses up no key.
 */
import { ambientRemainingMs } from "@holdfast/core";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { Attempt } from "../attempt.ts";
import { HttpGuard } from "../http/guard.ts";
import type { GuardedRequest, Verdict } from "../http/guard.ts";
import { bringsBody, parsedBody, unreadBody } from "../http/node-body.ts";
import { clientGone, writeWhole } from "../http/node-message.ts";
import { HeldResponse } from "../http/node-response.ts";
import type { HttpOptions } from "../http/options.ts";
import type { Idempotency } from "../idempotency.ts";
import { BodyTap } from "./body-tap.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The attempt under which the request is handled; null for one that is not guarded. */
    idempotency: Attempt | null;
  }
}

/** Options of the plugin. */
export interface FastifyIdempotencyOptions extends HttpOptions<FastifyRequest> {
  readonly idempotency: Idempotency;
}

function keyHeaderOf(request: FastifyRequest): string | undefined {
  const header = request.headers["idempotency-key"];
  return Array.isArray(header) ? header.join(", ") : header;
}

/**
 * The bytes of the body. Without a tap, since `applies` has said yes only when it saw the parsed body, that one.
 * @throws TypeError when a body was sent that its parser has left to the handler
 */
function payloadOf({ raw, body }: FastifyRequest, tap: BodyTap | undefined): unknown {
  if (tap === undefined) return parsedBody(raw, body);
  const { bytes } = tap;
  if (bytes === undefined && bringsBody(raw)) throw unreadBody(raw.headers["content-type"]);
  return bytes ?? Buffer.alloc(0);
}

/** Sends what the guard says, on whatever the handler has made. */
function answer(
  verdict: Verdict,
  request: FastifyRequest,
  reply: FastifyReply,
  held: HeldResponse | undefined,
  done: (error?: Error) => void,
): void {
  const headOnly = request.method === "HEAD";
  switch (verdict.kind) {
    case "handled":
      held?.send();
      return;
    case "answer":
      if (held !== undefined) {
        held.replace(verdict.response, headOnly);
        return;
      }
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) reply.raw.setHeader(name, value);
      writeWhole(reply.raw, verdict.response, headOnly);
      return;
    case "error":
      // Once the handler has answered, its answer is all there is to send.
      if (held === undefined) done(verdict.error instanceof Error ? verdict.error : new Error(String(verdict.error)));
      else held.send();
      return;
    case "gone":
      reply.hijack();
      reply.raw.destroy();
  }
}

const plugin: FastifyPluginAsync<FastifyIdempotencyOptions> = async (
  app: FastifyInstance,
  options: FastifyIdempotencyOptions,
) => {
  const guard = new HttpGuard<FastifyRequest>(options.idempotency, options);
  const taps = new WeakMap<FastifyRequest, BodyTap>();
  const inTime = new WeakSet<FastifyRequest>();
  const errors = new WeakMap<FastifyRequest, { readonly error: unknown }>();
  const guards = (request: FastifyRequest): boolean =>
    guard.guards({ request, method: request.method, keyHeader: keyHeaderOf(request) });

  app.decorateRequest("idempotency", null);

  app.addHook("preParsing", (request, _reply, payload, done) => {
    // Before the body is read, which takes as long as its client does.
    if (ambientRemainingMs() > 0) inTime.add(request);
    if (!guard.readsPayloads || !guards(request)) {
      done(null, payload);
      return;
    }
    const tap = new BodyTap(payload);
    taps.set(request, tap);
    done(null, tap);
  });

  app.addHook("onError", (request, _reply, error, done) => {
    errors.set(request, { error });
    done();
  });

  app.addHook("preHandler", (request, reply, done) => {
    if (!guards(request)) {
      done();
      return;
    }
    const guarded: GuardedRequest<FastifyRequest> = {
      request,
      method: request.method,
      target: request.originalUrl,
      keyHeader: keyHeaderOf(request),
      payload: () => payloadOf(request, taps.get(request)),
      signal: clientGone(reply.raw),
      inTime: inTime.has(request),
    };
    let held: HeldResponse | undefined;
    const handling = guard.handle(guarded, async (attempt) => {
      // A time limit was faster than the claim, and Fastify runs no handler any more: it would be waited for until `attemptMaxMs`.
      if (reply.sent || reply.raw.headersSent) return { never: true };
      request.idempotency = attempt;
      held = new HeldResponse(reply.raw, guard.bodyBytesMax);
      done();
      const produced = await held.produced;
      return { produced, thrown: errors.get(request) };
    });
    handling.then((verdict) => answer(verdict, request, reply, held, done)).catch(done);
  });
};

/** The plugin. Register it before the routes that it guards. */
export const fastifyIdempotency: FastifyPluginAsync<FastifyIdempotencyOptions> = Object.assign(plugin, {
  // What fastify-plugin does: the hooks belong to the scope that registers the plugin, not to one of its own.
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "@holdfast/idempotency",
});
