/** The `TracingChannel` around the work of scopes and forks; without a subscriber the work is called as it is. */
import { tracingChannel } from "node:diagnostics_channel";
import { scopeChannel } from "./events.ts";

/** What a tracer is told. */
interface TracedWork {
  readonly scope: string;
  /** Null for the scope's own function. */
  readonly fork: string | null;
}

const tracing = tracingChannel<unknown, TracedWork>(scopeChannel);

/** The function, surrounded by trace events when anybody listens. */
export function traced<Context, Value>(
  scope: string,
  fork: string | null,
  fn: (context: Context) => PromiseLike<Value> | Value,
): (context: Context) => PromiseLike<Value> | Value {
  if (!tracing.hasSubscribers) return fn;
  return (context) => tracing.tracePromise(async () => fn(context), { scope, fork });
}
