/** A service replica in a process of its own: schedules on request, runs due timers, says what it does. */
import { Redis } from "ioredis";
import { DurableTimer } from "../../src/index.ts";
import { OutcomeUnknownError } from "@holdfast/core";
import { reportReady, servePod } from "@holdfast/testkit";

const { hostname, port } = new URL(process.env["REDIS_URL"] ?? "");
const redis = new Redis({ host: hostname, port: Number(port), replyMapping: "legacy" });
redis.on("error", () => undefined);
const timer = new DurableTimer<{ crash?: boolean; hang?: boolean }>(redis, process.env["TIMER_NAME"] ?? "");
const worker = timer.worker(
  { leaseMs: Number(process.env["LEASE_MS"]), pollMs: 50, attemptsMax: 3 },
  async ({ id, attempt, token, payload }) => {
    process.send?.({ id, attempt, token });
    if (payload.crash === true) process.kill(process.pid, "SIGKILL");
    if (payload.hang === true) await new Promise(() => undefined);
  },
);
servePod({
  start: () => worker.start(),
  stop: (graceMs: number) => worker.stop({ graceMs }),
  schedule: (id: string) =>
    timer.schedule({ id, afterMs: 60_000, payload: {} }).then(
      (result) => ({ kind: result.kind }),
      async (error: unknown) => {
        if (!(error instanceof OutcomeUnknownError)) return { kind: "failed", code: String(error) };
        const { operationId } = error;
        const again = await timer.schedule({ id, afterMs: 60_000, payload: {}, operationId });
        return { kind: "unknown", again: again.kind };
      },
    ),
});
reportReady();
