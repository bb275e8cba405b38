/**
 * Free TCP ports on 127.0.0.1.
 *
 * They lie below the range from which operating systems take the local ports of outgoing connections (Linux 32 768, macOS 49 152).
 * A port from that range could be taken by any client while a killed server is down, and a client that reconnects to a dead port of
 * that range sooner or later connects to itself.
 */
import { createServer } from "node:net";

/** The address every server of this package listens on. */
export const loopback = "127.0.0.1";

const lowestPort = 12_000;
const highestPort = 32_000;
const attemptsMax = 200;

/** Ports handed out in this process: two servers that start at the same moment never get the same one. */
const given = new Set<number>();

/**
 * Finds a TCP port on 127.0.0.1 that nothing listens on at this moment. Another process may take it before it is used, so a server
 * that fails to bind it must ask for another.
 *
 * @returns the port.
 * @throws Error when 200 attempts found none.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort));
    if (given.has(port)) continue;
    given.add(port);
    if (await canListen(port)) return port;
    given.delete(port);
  }
  throw new Error(`No free loopback port found between ${lowestPort} and ${highestPort} in ${attemptsMax} attempts.`);
}

/** Gives a port back, so that {@link freePort} may hand it out again. */
export function releasePort(port: number): void {
  given.delete(port);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: loopback, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
