/** The `TracingChannel` around the handlers of workers; without a subscriber a handler is called as it is. */
import { tracingChannel } from "node:diagnostics_channel";
import { timerChannel } from "./events.ts";
import type { Firing } from "./firing.ts";
import type { FiringHandler } from "./handlers.ts";

/** What a tracer is told. */
interface TracedFiring {
  readonly resource: string;
  readonly token: number;
  readonly id: string;
  readonly generation: number;
  readonly attempt: number;
}

const tracing = tracingChannel<unknown, TracedFiring>(timerChannel);

/** Calls a handler, between trace events when anybody listens. */
export function traced<Payload>(handler: FiringHandler<Payload>, firing: Firing<Payload>): unknown {
  if (!tracing.hasSubscribers) return handler(firing);
  const { resource, token, id, generation, attempt } = firing;
  return tracing.tracePromise(async () => handler(firing), { resource, token, id, generation, attempt });
}
