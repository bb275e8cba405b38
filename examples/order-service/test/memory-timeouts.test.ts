import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { MemoryTimeouts } from "../src/memory-timeouts.ts";
import type { Log } from "../src/payment-timeouts.ts";
import type { Database } from "../src/transaction.ts";
import { WAIT } from "./wait.ts";

/** Timeouts in memory write nothing with the order. */
const NO_TX: Database = { query: () => Promise.reject(new Error("nothing to write")) };

/** Keeps what was logged. */
class LogBook implements Log {
  readonly sentences: string[] = [];
  readonly facts: object[] = [];

  info(facts: object, sentence: string): void {
    this.facts.push(facts);
    this.sentences.push(sentence);
  }

  warn(facts: object, sentence: string): void {
    this.info(facts, sentence);
  }

  error(facts: object, sentence: string): void {
    this.info(facts, sentence);
  }
}

describe("timeouts in memory", () => {
  it("try again until the database answers", async () => {
    let attempts = 0;
    const timeouts = new MemoryTimeouts(async () => {
      attempts += 1;
      if (attempts < 3) throw new Error("no database");
    }, new LogBook());
    await timeouts.schedule(NO_TX, "order", 1);
    await pollUntil("the third attempt", () => attempts === 3, WAIT);
    await timeouts.stop(0);
  });

  it("do not fire once their order is paid", async () => {
    const fired: string[] = [];
    const timeouts = new MemoryTimeouts(async (id) => void fired.push(id), new LogBook());
    await timeouts.schedule(NO_TX, "cancelled", 1);
    timeouts.forget("cancelled");
    await timeouts.schedule(NO_TX, "other", 20);
    await pollUntil("the other one", () => fired.includes("other"), WAIT);
    expect(fired).toEqual(["other"]);
  });

  it("fire within the grace period of a stop when they are due by then, and are named in the log when they are not", async () => {
    const fired: string[] = [];
    const log = new LogBook();
    const timeouts = new MemoryTimeouts(async (id) => void fired.push(id), log);
    await timeouts.schedule(NO_TX, "soon", 100);
    await timeouts.schedule(NO_TX, "in a minute", 60_000);
    await timeouts.stop(300);
    expect(fired).toEqual(["soon"]);
    expect(log.facts).toEqual([{ count: 1, orderIds: ["in a minute"] }]);
  });

  it("that run are waited for, but not longer than the grace period", async () => {
    const { promise: never } = Promise.withResolvers<void>();
    const log = new LogBook();
    const timeouts = new MemoryTimeouts(() => never, log);
    await timeouts.schedule(NO_TX, "hangs", 0);
    await timeouts.stop(100);
    expect(log.facts).toEqual([{ count: 1, orderIds: ["hangs"] }]);
  });

  it("stop at once when there is nothing to wait for", async () => {
    const timeouts = new MemoryTimeouts(async () => undefined, new LogBook());
    // Far longer than a test may take.
    await timeouts.stop(3_600_000);
  });
});
