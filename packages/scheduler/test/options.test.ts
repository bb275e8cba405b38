/** What callers hand over, and what they are told when it is wrong. */
import { Redis } from "ioredis";
import { afterAll, describe, expect, it } from "vitest";
import { Scheduler } from "../src/index.ts";
import type { JobOptions, SchedulerOptions } from "../src/index.ts";

const redis = new Redis({ lazyConnect: true });
afterAll(() => redis.disconnect());

const bad = (value: unknown): never => value as never;

describe("bad input", () => {
  it.each<[string, SchedulerOptions, RegExp]>([
    ["zone", { timezone: "Mars/Olympus" }, /^timezone must be an IANA time zone .* "Mars\/Olympus"$/u],
    ["zone", { timezone: bad(3) }, /^timezone must be a string .* got 3$/u],
    ["lease", { leaseMs: 49 }, /^leaseMs must be a whole number from 50 to 86400000, got 49$/u],
    ["poll", { pollMs: 0 }, /^pollMs must be a whole number from 10 to 60000, got 0$/u],
    ["history", { historyMax: 1_001 }, /^historyMax must be a whole number from 1 to 1000, got 1001$/u],
    ["runner", { runner: "" }, /^runner must be a string of 1 to 256 bytes, got 0 bytes$/u],
    ["prefix", { prefix: "{x}" }, /^prefix must not contain/u],
  ])("a scheduler with a bad %s is refused", (_what, options, message) => {
    expect(() => new Scheduler(redis, "billing", options)).toThrow(message);
  });

  it.each<[string, unknown, RegExp]>([
    ["neither", {}, /^exactly one of cron and everyMs must be given, got none$/u],
    ["both", { cron: "0 0 * * *", everyMs: 1_000 }, /^exactly one of cron and everyMs must be given, got both$/u],
    ["a cron that is none", { cron: "whenever" }, /^cron must be a pattern of 5 or 6 fields, got "whenever"$/u],
    ["an hour 25", { cron: "0 25 * * *" }, /^cron must be a pattern of 5 or 6 fields, got "0 25 \* \* \*": /u],
    ["a date that never comes", { cron: "0 0 31 2 *" }, /^cron must come at least once, got "0 0 31 2 \*"/u],
    ["a cron that is no text", { cron: 5 }, /^cron must be a pattern of 5 or 6 fields, got number$/u],
    ["a rhythm of 0", { everyMs: 0 }, /^everyMs must be a whole number from 50 to \d+, got 0$/u],
    ["a fraction", { everyMs: 100.5 }, /^everyMs must be a whole number .* got 100.5$/u],
    ["version 0", { everyMs: 1_000, version: 0 }, /^version must be a whole number from 1 to \d+, got 0$/u],
    [
      "a word for missed",
      { everyMs: 1_000, missed: "some" },
      /^missed must be one of "skip", "once", "all", got "some"$/u,
    ],
    ["a word for overlap", { everyMs: 1_000, overlap: "yes" }, /^overlap must be one of "skip", "queue", got "yes"$/u],
    ["an endless run", { everyMs: 1_000, atMostMs: Infinity }, /^atMostMs must be a whole number .* got Infinity$/u],
    [
      "a hold beyond the run",
      { everyMs: 1_000, atMostMs: 100, atLeastMs: 101 },
      /^atLeastMs must not exceed atMostMs \(100\), got 101$/u,
    ],
    ["no attempt", { everyMs: 1_000, attemptsMax: 0 }, /^attemptsMax must be a whole number from 1 to 500, got 0$/u],
    ["a backoff", { everyMs: 1_000, backoff: { jitter: 2 } }, /^backoff.jitter must be/u],
    ["nothing", null, /^options must be an object, got null$/u],
  ])("a job with %s is refused", (_what, options, message) => {
    const scheduler = new Scheduler(redis, "billing");
    expect(() => scheduler.job("job", options as JobOptions, () => undefined)).toThrow(message);
  });

  it.each([
    ["", /^job must be a string of 1 to 256 bytes, got 0 bytes$/u],
    [7, /^job must be a string/u],
    [undefined, /^job must be a string/u],
    ["\uD800", /well-formed/u],
    ["x".repeat(257), /^job must be a string of 1 to 256 bytes, got 257 bytes$/u],
  ])("every call of an operator refuses the job %j before it asks Redis", async (job, message) => {
    const scheduler = new Scheduler(redis, "billing");
    const calls = ["pause", "resume", "runNow", "remove", "history"] as const;
    for (const call of calls) await expect(scheduler[call](bad(job))).rejects.toThrow(message);
    for (const call of ["pause", "resume", "runNow", "remove"] as const) {
      for (const operationId of ["", "a b", "x".repeat(65), 7, null])
        await expect(scheduler[call]("job", { operationId: bad(operationId) })).rejects.toThrow(/operationId must be/u);
    }
    expect(redis.status).toBe("wait");
  });

  it("names, handlers, doubles and operation ids are checked", async () => {
    const scheduler = new Scheduler(redis, "billing");
    const options = { everyMs: 1_000 };
    expect(() => new Scheduler(redis, "")).toThrow("name must be a string of 1 to 256 bytes");
    expect(() => scheduler.job("", options, () => undefined)).toThrow("job must be a string of 1 to 256 bytes");
    expect(() => scheduler.job("x".repeat(200), options, () => undefined)).toThrow(
      "names of scheduler and job together",
    );
    expect(() => scheduler.job("job", options, bad("run"))).toThrow("handler must be a function");
    scheduler.job("job", options, () => undefined);
    expect(() => scheduler.job("job", options, () => undefined)).toThrow('job "job" was added before');
    await expect(scheduler.pause("job", { operationId: "a b" })).rejects.toThrow("operationId must be 1 to 64 visible");
    expect(() => scheduler.stop({ graceMs: -1 })).toThrow("graceMs must be a whole number");
    expect(() => new Scheduler(new Redis({ lazyConnect: true, keyPrefix: "x:" }), "billing")).toThrow("keyPrefix");
  });
});
