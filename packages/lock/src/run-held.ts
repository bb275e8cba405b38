/** Runs work under a hold: the release follows whatever the work does, and never hides what it threw. */
import { tracingChannel } from "node:diagnostics_channel";
import { LockLostError } from "./errors.ts";
import { lockChannel } from "./events.ts";
import type { Hold } from "./hold.ts";

const tracing = tracingChannel(lockChannel);

/**
 * @returns what the function returns
 * @throws what the function throws; LockLostError, with the function's value, when it ended after the lease was lost
 */
export async function runHeld<Value>(hold: Hold, fn: (hold: Hold) => Value | Promise<Value>): Promise<Value> {
  const { resource, token } = hold;
  const work = async (): Promise<Value> => fn(hold);
  let value: Value;
  try {
    value = await (tracing.hasSubscribers ? tracing.tracePromise(work, { resource, token }) : work());
  } catch (error) {
    await hold.release().catch(() => undefined);
    throw error;
  }
  // The work is done and was done under the lock: a release whose answer is lost does not undo that, and goes on in the background.
  const { lost } = hold;
  const { kind } = await hold.release().catch(() => ({ kind: "released" as const }));
  if (kind === "lost") throw new LockLostError(resource, token, lost?.reason ?? "lost", value);
  return value;
}
