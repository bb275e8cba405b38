/**
 * The slow dependency, in a process of its own: works on every request for as long as it is told, or until the client is gone.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { reportReady, servePod } from "@holdfast/testkit";
import { fastify, type FastifyRequest } from "fastify";

const workMs = Number(process.env["WORK_MS"]);
let working = 0;
let mostAtOnce = 0;
let abandoned = 0;

async function recommend(request: FastifyRequest): Promise<{ readonly products: readonly string[] }> {
  const gone = new AbortController();
  request.raw.socket.once("close", () => gone.abort());
  working += 1;
  mostAtOnce = Math.max(mostAtOnce, working);
  try {
    await sleep(workMs, undefined, { signal: gone.signal });
  } catch {
    abandoned += 1;
  } finally {
    working -= 1;
  }
  return { products: [] };
}

const app = fastify();
app.get("/", (request) => recommend(request));
servePod({
  figures: () => ({ working, mostAtOnce, abandoned }),
});
reportReady(await app.listen({ host: "127.0.0.1", port: 0 }));
