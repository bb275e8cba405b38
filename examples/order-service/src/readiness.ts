/**
 * Owns the answer to "may this replica get traffic": not while it starts, not once it has been asked to stop, and not while something it
 * needs does not answer.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** A replica's life. */
export type Phase = "starting" | "ready" | "draining";

/** What /readyz answers. */
export interface ReadinessReport {
  readonly ready: boolean;
  readonly phase: Phase;
  /** `"ok"`, or what is wrong, by the name of the thing that is needed. */
  readonly checks: Readonly<Record<string, string>>;
}

const CHECK_TIMEOUT_MS = 1_000;

/** The phase, and the things without which no request can be answered. */
export class Readiness {
  phase: Phase = "starting";
  private readonly checks: Readonly<Record<string, () => Promise<unknown>>>;

  constructor(checks: Readonly<Record<string, () => Promise<unknown>>>) {
    this.checks = checks;
  }

  /** Asks everything at once. Never rejects, and takes a second at most. */
  async report(): Promise<ReadinessReport> {
    const answers = await Promise.all(
      Object.entries(this.checks).map(async ([name, check]) => [name, await answerOf(check)] as const),
    );
    const well = answers.every(([, answer]) => answer === "ok");
    return { ready: this.phase === "ready" && well, phase: this.phase, checks: Object.fromEntries(answers) };
  }
}

async function answerOf(check: () => Promise<unknown>): Promise<string> {
  const settled = new AbortController();
  try {
    return await Promise.race([
      check().then(() => "ok"),
      sleep(CHECK_TIMEOUT_MS, `no answer within ${CHECK_TIMEOUT_MS} ms`, { signal: settled.signal }),
    ]);
  } catch (error) {
    return error instanceof Error ? error.message || error.name : String(error);
  } finally {
    settled.abort();
  }
}
