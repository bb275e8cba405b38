/** Owns the servers of schedules: one for the primitive, with a clock in our hands, and one for the resources. */
import { ClockSkew, RedisServer } from "@holdfast/testkit";
import type { Theatre } from "./play.ts";

/**
 * Servers that are gone when it is disposed of. Needs a C compiler named cc.
 * @param binary the program of the primitive's server; by default that of every `RedisServer`
 */
export async function openTheatre(binary?: string): Promise<Theatre & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  try {
    const skew = stack.use(await ClockSkew.create());
    const server = stack.use(await RedisServer.start({ env: skew.env, ...(binary !== undefined && { binary }) }));
    const ledger = stack.use(await RedisServer.start());
    return { server, ledger, skew, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
