/** A port that nobody listens on. */
import { once } from "node:events";
import { createServer } from "node:net";

/** Finds one on loopback; somebody else may take it before it is used. */
export async function freeLoopbackPort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}
