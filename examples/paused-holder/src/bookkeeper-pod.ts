/**
 * The process: posts when it is told to, and stops for the demo between the check of its locks and the writes, where SIGSTOP hits it.
 */
import { reportReady, servePod } from "@holdfast/testkit";
import type { Bookkeeper, Posted } from "./bookkeeper.ts";
import type { Posting } from "./course.ts";
import { FencedBookkeeper } from "./fenced-bookkeeper.ts";
import { PlainBookkeeper } from "./plain-bookkeeper.ts";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set.`);
  return value;
}

const options = {
  databaseUrl: required("DATABASE_URL"),
  redisUrl: required("REDIS_URL"),
  prefix: required("REDIS_PREFIX"),
  ttlMs: Number(required("LOCK_TTL_MS")),
};
const bookkeeper: Bookkeeper =
  required("LOCK") === "fenced" ? new FencedBookkeeper(options) : new PlainBookkeeper(options);

let goOn: () => void = () => undefined;
let begun: Promise<readonly Posted[]> = Promise.resolve([]);

function postAll(postings: readonly Posting[], checked: () => Promise<void>): Promise<readonly Posted[]> {
  return Promise.all(postings.map((posting) => bookkeeper.post(posting, checked)));
}

servePod({
  post: (postings: readonly Posting[]) => postAll(postings, () => Promise.resolve()),
  /** Answers when all postings have passed their last check and would write next. */
  begin: async (postings: readonly Posting[]) => {
    const gate = Promise.withResolvers<void>();
    goOn = () => gate.resolve();
    const ready = Promise.withResolvers<void>();
    let waiting = 0;
    begun = postAll(postings, () => {
      waiting += 1;
      if (waiting === postings.length) ready.resolve();
      return gate.promise;
    });
    await Promise.race([ready.promise, begun]);
  },
  finish: () => {
    goOn();
    return begun;
  },
  close: () => bookkeeper.close(),
});
reportReady();
