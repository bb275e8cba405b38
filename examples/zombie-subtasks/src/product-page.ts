/**
 * What a page of the shop needs: three subtasks, and now and then a fourth. The functions are the same on both sides; the slow one asks
 * another service.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Course } from "./course.ts";
import type { Work } from "./work.ts";

/** How a request is answered. */
export interface PageBuilder {
  /** Resolves to the page; rejects when there is none in time. */
  build(request: string, parts: PageParts): Promise<unknown>;
  /** What it knows of work that still runs for nobody, by name. */
  zombies(): Readonly<Record<string, number>>;
}

/** Subtasks of one request, by name. Each does what it can to end when its signal aborts, but for the deaf one. */
export type PageParts = Readonly<Record<string, (signal: AbortSignal | undefined) => Promise<unknown>>>;

/** The subtasks of a request, each of them followed. @param fetchRecommendations how this side makes a request */
export function partsOf(
  request: string,
  number: number,
  course: Course,
  work: Work,
  fetchRecommendations: () => Promise<Response>,
): PageParts {
  const followed = (subtask: () => Promise<unknown>) => (): Promise<unknown> => work.follow(request, subtask);
  const quick = (signal: AbortSignal | undefined): Promise<unknown> =>
    work.follow(request, () => sleep(course.quickMs, "there", signal === undefined ? {} : { signal }));
  return {
    price: quick,
    stock: quick,
    recommendations: followed(async () => (await fetchRecommendations()).json()),
    ...(number % course.deafEvery === 0 ? { "legacy-audit": followed(() => sleep(course.deafMs)) } : {}),
  };
}
