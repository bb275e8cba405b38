import { describe, expect, it } from "vitest";
import { ConfigError, readConfig } from "../src/config.ts";

const ENOUGH = { DATABASE_URL: "postgres://db/orders", REDIS_URL: "redis://redis:6379" };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("the configuration", () => {
  it("needs two addresses, and has a default for everything else", () => {
    expect(readConfig(ENOUGH)).toMatchObject({
      port: 8080,
      timeouts: "durable",
      paymentTimeoutMs: 60_000,
      redisUrl: "redis://redis:6379",
    });
  });

  it("needs no Redis with timeouts in memory", () => {
    expect(readConfig({ DATABASE_URL: ENOUGH.DATABASE_URL, TIMEOUTS: "memory" }).redisUrl).toBe("");
  });

  it("reports every mistake at once, each with its variable", () => {
    const problems = problemsOf({
      REDIS_URL: "http://redis",
      PORT: "70000",
      PAYMENT_TIMEOUT_MS: "a minute",
      TIMEOUTS: "disk",
    });
    expect(problems.map((line) => line.split(" ")[0])).toEqual([
      "TIMEOUTS",
      "PORT",
      "DATABASE_URL",
      "REDIS_URL",
      "PAYMENT_TIMEOUT_MS",
    ]);
    expect(problems).toContain('PORT must be a whole number from 0 to 65535, got "70000"');
  });

  it.each(["-1", "1.5", "1e3", "0x10", "NaN", "99999999999"])("refuses %s as a duration", (value) => {
    expect(problemsOf({ ...ENOUGH, PAYMENT_TIMEOUT_MS: value })).toHaveLength(1);
  });

  it("never repeats an address, which may hold a password", () => {
    const env = { DATABASE_URL: "mysql://root:secret@db", REDIS_URL: "secret" };
    expect(problemsOf(env).join()).not.toContain("secret");
    expect(problemsOf(env)).toHaveLength(2);
  });

  it("takes an empty variable for one that is not set", () => {
    expect(readConfig({ ...ENOUGH, PORT: "", LOG_LEVEL: " " })).toMatchObject({ port: 8080, logLevel: "info" });
  });

  it("refuses a drain delay that leaves no time to stop", () => {
    expect(problemsOf({ ...ENOUGH, DRAIN_DELAY_MS: "5000", SHUTDOWN_GRACE_MS: "5000" })).toEqual([
      "DRAIN_DELAY_MS (5000) must be less than SHUTDOWN_GRACE_MS (5000)",
    ]);
  });
});
