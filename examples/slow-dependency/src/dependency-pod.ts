/**
 * A dependency in a process of its own, healthy from first to last: it answers every request, after `beforeMs`, or after `afterMs` once it
 * is told to be slow.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { watchStandStill } from "@holdfast-examples/stage";
import { random, reportReady, servePod } from "@holdfast/testkit";
import { fastify } from "fastify";

/** What a dependency is told. */
export interface DependencySettings {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly seed: number;
}

/** Answers take between 0.9 and 1.1 times the time they should. */
const SPREAD = 0.1;

const { beforeMs, afterMs, seed } = JSON.parse(process.env["DEPENDENCY"] ?? "") as DependencySettings;
const chance = random(seed);
const stoodStillMs = watchStandStill();
let answerMs = beforeMs;

const app = fastify();
app.get("/", async () => {
  await sleep(answerMs * chance.float(1 - SPREAD, 1 + SPREAD));
  return { ok: true };
});
servePod({
  slow: () => {
    answerMs = afterMs;
    return answerMs;
  },
  stoodStillMs,
});
reportReady(await app.listen({ host: "127.0.0.1", port: 0 }));
