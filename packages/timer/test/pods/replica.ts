/** A service replica in a process of its own: schedules on request, runs due timers, says what it does. */
import { Redis } from "ioredis";
import { DurableTimer } from "../../src/index.ts";
import { HoldfastError, OutcomeUnknownError } from "@holdfast/core";
import { pollUntil, reportReady, servePod } from "@holdfast/testkit";

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
        if (!(error instanceof HoldfastError)) return { kind: "failed", code: String(error) };
        const operationId = error instanceof OutcomeUnknownError ? error.operationId : undefined;
        const request = { id, afterMs: 60_000, payload: {}, operationId };
        const again = await pollUntil("the repeat is in time", () => timer.schedule(request));
        return { kind: error.effect === "none" ? "none" : "unknown", again: again.kind };
      },
    ),
});
reportReady();
