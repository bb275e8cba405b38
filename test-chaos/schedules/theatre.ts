/** Owns the servers of schedules: one for the primitive, with a clock in our hands, and one for the resources. */
import { ClockSkew, RedisServer } from "@holdfast/testkit";
import type { Theatre } from "./play.ts";

/** Servers that are gone when it is disposed of. Needs a C compiler named cc. */
export async function openTheatre(): Promise<Theatre & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  try {
    const skew = stack.use(await ClockSkew.create());
    const server = stack.use(await RedisServer.start({ env: skew.env }));
    const ledger = stack.use(await RedisServer.start());
    return { server, ledger, skew, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
