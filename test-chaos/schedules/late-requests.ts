/**
 * Owns K1 on the stage: a request that reaches the server after its bound writes nothing. Each one that was held back is played once more,
 * alone, between two looks at what the server has written.
 */
import type { Redis } from "ioredis";
import { Rule } from "../checkers/verdict.ts";
import type { Verdict } from "../checkers/verdict.ts";

/** Bounds are times in microseconds; whatever else looks like one lies before the bound. */
const microseconds = /^\d{16}$/;
/** The bound is among the first arguments of a script. */
const boundWithin = 4;

/** Requests on their way. */
export class LateRequests {
  private readonly rule: Rule;
  private readonly commands: (readonly string[])[] = [];

  constructor(scenario: string) {
    this.rule = new Rule(scenario, "K1 a request that arrives after its bound writes nothing");
  }

  /** This one is held back. */
  holdsBack(command: readonly string[]): void {
    this.commands.push(command);
  }

  /** Nobody looks at them. */
  forget(): void {
    this.commands.splice(0);
  }

  /** All of them are about to arrive. */
  async arrive(redis: Redis): Promise<void> {
    for (const command of this.commands.splice(0)) {
      const boundUs = boundOf(command);
      const [seconds, micros] = (await redis.time()) as unknown as [string, string];
      const overdueUs = Number(seconds) * 1_000_000 + Number(micros) - (boundUs ?? Number.POSITIVE_INFINITY);
      if (overdueUs <= 0) continue;
      const wrote = await playAlone(redis, command);
      this.rule.check(
        wrote === 0,
        () => `a script on ${command[3]} wrote, ${(overdueUs / 1_000).toFixed(0)} ms after its bound`,
      );
    }
  }

  get verdict(): Verdict {
    return this.rule.verdict;
  }
}

function boundOf(command: readonly string[]): number | undefined {
  const from = 3 + Number(command[2]);
  const times = command.slice(from, from + boundWithin).filter((word) => microseconds.test(word));
  return times.length === 0 ? undefined : Math.max(...times.map(Number));
}

/** How many changes it made: nothing comes between what is done in one transaction. */
async function playAlone(redis: Redis, command: readonly string[]): Promise<number> {
  const [name = "", ...words] = command;
  const results = await redis
    .multi([
      ["info", "persistence"],
      [name.toLowerCase(), ...words],
      ["info", "persistence"],
    ])
    .exec();
  const [before, , after] = (results ?? []).map(([, value]) => value);
  return changesIn(after) - changesIn(before);
}

function changesIn(info: unknown): number {
  return Number(/rdb_changes_since_last_save:(\d+)/.exec(String(info))?.[1]);
}
