/**
 * The service: one page over HTTP, built from subtasks. `GET /product/:number` answers 200 with the page, or 504 when it is not ready in time.
 */
import { reportReady, servePod } from "@holdfast/testkit";
import { watchStandStill } from "@holdfast-examples/stage";
import { cancellableFetch } from "@holdfast/scope";
import { fastify } from "fastify";
import type { Course, Side } from "./course.ts";
import { partsOf } from "./product-page.ts";
import { RacedPage } from "./race.ts";
import { ScopedPage } from "./scoped.ts";
import { Work, type WorkFigures } from "./work.ts";

/** What a service is told. */
export interface ShopSettings {
  readonly side: Side;
  readonly course: Course;
  readonly recommendationsUrl: string;
}

/** What a service knows. */
export interface ShopFigures extends WorkFigures {
  /** Subtasks that it knows to have run after their request, by name. */
  readonly known: Readonly<Record<string, number>>;
  /** The longest time for which the process did not run since it was ready. */
  readonly stoodStillMs: number;
}

const { side, course, recommendationsUrl } = JSON.parse(process.env["SHOP"] ?? "") as ShopSettings;
const work = new Work();
const pages = side === "scope" ? new ScopedPage(course.timeoutMs, course.graceMs) : new RacedPage(course.timeoutMs);
// Both send the same request. With a scope it ends with the scope; without one there is nothing for it to end with.
const recommendations = (): Promise<Response> =>
  side === "scope" ? cancellableFetch(recommendationsUrl) : fetch(recommendationsUrl);

const app = fastify();
app.get<{ Params: { number: string } }>("/product/:number", async ({ params }, reply) => {
  const request = params.number;
  const parts = partsOf(request, Number(request), course, work, recommendations);
  try {
    return await pages.build(request, parts);
  } catch {
    return await reply.code(504).send({ error: "not ready in time" });
  } finally {
    // The same for both: what ends within the grace is not held against anybody.
    setTimeout(() => work.requestIsOver(request), course.graceMs);
  }
});
const stoodStillMs = watchStandStill();
servePod({
  figures: (): ShopFigures => ({ ...work.read(), known: pages.zombies(), stoodStillMs: stoodStillMs() }),
});
reportReady(await app.listen({ host: "127.0.0.1", port: 0 }));
