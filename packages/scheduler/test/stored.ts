/** A job's record, spoken to directly: for tests of single scripts and forced interleavings. */
import { Connection, resolveCommonOptions } from "@holdfast/core";
import type { Redis } from "ioredis";
import { resolveDefinition } from "../src/definition.ts";
import type { Definition, JobOptions } from "../src/definition.ts";
import { JobStore } from "../src/job-store.ts";
import type { Admission } from "../src/job-store.ts";
import { resolveSchedulerOptions } from "../src/options.ts";
import type { LiveJobView } from "../src/scripts.ts";
import { patientMs } from "./desk.ts";

/** A time that the server's clock does not reach. */
export const farMs = 8_000_000_000_000;
export const dayMs = 86_400_000;
/** A time that it has passed. */
export const pastMs: number = 20_000 * dayMs;

/** The store of the job named `job`. */
export function storeOf(redis: Redis, name: string): JobStore {
  const options = {
    ...resolveSchedulerOptions({ runner: "test" }),
    ...resolveCommonOptions({ commandTimeoutMs: patientMs }),
  };
  return new JobStore(Connection.of(redis), name, "job", options);
}

/** A definition of one that recurs each day unless told otherwise. */
export function definitionOf(options: Partial<JobOptions> = {}): Definition {
  return resolveDefinition({ cron: "0 0 * * *", ...options } as JobOptions, "UTC");
}

/** Puts a definition on record whose next occurrence is due, and returns what is on record then. */
export async function dueJob(
  redis: Redis,
  store: JobStore,
  definition: Definition,
  nextMs: number,
): Promise<LiveJobView> {
  await store.define(definition, await store.look(), 8_000_000_000_000);
  await redis.hset(store.keys.state, "next", nextMs);
  return liveView(store);
}

/** What is on record of a job that is there. */
export async function liveView(store: JobStore): Promise<LiveJobView> {
  const view = await store.look();
  if (view.kind !== "job") throw new Error(`the job is ${view.kind}`);
  return view;
}

/** Decides the occurrence at `dueMs`, which runs under the id `id`; the next one is a day later. */
export function admissionOf(id: string, dueMs: number): Admission {
  return { runs: [{ id, dueMs }], cursorMs: dueMs, followingMs: dueMs + dayMs, skipped: "", missed: "" };
}

/** A record of its own whose next occurrence is at `nextMs`. */
export async function storedJob(
  redis: Redis,
  name: string,
  definition: Definition,
  nextMs: number = farMs,
): Promise<{ redis: Redis; store: JobStore }> {
  const store = storeOf(redis, name);
  await dueJob(redis, store, definition, nextMs);
  return { redis, store };
}
