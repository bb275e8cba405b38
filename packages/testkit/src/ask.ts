/**
 * A question to one of several servers, some of which may stand still: who is paused is known and not asked, so that an answer is only
 * given up when something is wrong. A short time-out instead would take a starved machine for a paused server.
 */
import { RedisProbe } from "./redis-probe.ts";
import type { RedisServer } from "./redis-server.ts";
import type { RespValue } from "./resp-reader.ts";

/** For a server that stands still without our doing. */
const answerTimeoutMs = 5_000;

/**
 * Sends one command.
 *
 * @throws Error when the server is paused, does not run, or does not answer in 5 s.
 */
export async function ask(server: RedisServer, ...command: readonly string[]): Promise<RespValue> {
  if (server.isPaused) throw new Error(`The server on port ${server.port} is paused.`);
  const probe = await RedisProbe.open(server.address, answerTimeoutMs);
  try {
    return await probe.call(...command);
  } finally {
    probe.close();
  }
}
