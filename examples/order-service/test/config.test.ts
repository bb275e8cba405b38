import { describe, expect, it } from "vitest";
import { readConfig } from "../src/config.ts";
import { ConfigError } from "../src/environment.ts";

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

  it("takes payments on trust, has no stock, and settles at night, unless told otherwise", () => {
    expect(readConfig(ENOUGH)).toMatchObject({ provider: undefined, stock: undefined, settlementCron: "15 2 * * *" });
    const told = readConfig({
      ...ENOUGH,
      PAYMENT_PROVIDER_URL: "https://provider.example",
      STOCK_NAME: "warehouse-1",
      SETTLEMENT_CRON: "off",
    });
    expect(told).toMatchObject({
      provider: { url: "https://provider.example", concurrencyMax: 16, queueMax: 100, timeoutMs: 5_000 },
      stock: { name: "warehouse-1", ledgerEveryMs: 5_000 },
      settlementCron: undefined,
    });
  });

  it("refuses with timeouts in memory what needs Redis", () => {
    const env = { DATABASE_URL: ENOUGH.DATABASE_URL, TIMEOUTS: "memory" };
    expect(readConfig(env)).toMatchObject({ settlementCron: undefined });
    expect(problemsOf({ ...env, STOCK_NAME: "warehouse-1", SETTLEMENT_CRON: "15 2 * * *" })).toEqual([
      "STOCK_NAME needs TIMEOUTS=durable",
      "SETTLEMENT_CRON needs TIMEOUTS=durable",
    ]);
  });

  it("refuses a time to pay that is longer than its units can be held", () => {
    const env = { ...ENOUGH, PAYMENT_TIMEOUT_MS: "86100001" };
    expect(problemsOf(env)).toEqual([]);
    expect(problemsOf({ ...env, STOCK_NAME: "warehouse-1" })).toEqual([
      "PAYMENT_TIMEOUT_MS (86100001) must be at most 86100000 with STOCK_NAME",
    ]);
    expect(problemsOf({ ...env, PAYMENT_TIMEOUT_MS: "86100000", STOCK_NAME: "warehouse-1" })).toEqual([]);
  });

  it("refuses a drain delay that leaves no time to stop", () => {
    expect(problemsOf({ ...ENOUGH, DRAIN_DELAY_MS: "5000", SHUTDOWN_GRACE_MS: "5000" })).toEqual([
      "DRAIN_DELAY_MS (5000) must be less than SHUTDOWN_GRACE_MS (5000)",
    ]);
  });
});
