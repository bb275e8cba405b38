/**
 * One replica. With `KIND=cron` it has a cron of its own, as most services do; with `KIND=holdfast` it has the scheduler.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Scheduler } from "@holdfast/scheduler";
import { reportReady } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { sendMails, type Mail, type Mailing } from "./mailing.ts";

/** What a replica is told. */
export interface ReplicaSettings extends Mailing {
  readonly kind: "cron" | "holdfast";
  readonly redisUrl: string;
  readonly everyMs: number;
  readonly leaseMs: number;
}

const settings = JSON.parse(process.env["REPLICA"] ?? "") as ReplicaSettings;
const redis = new Redis(settings.redisUrl);
redis.on("error", (error) => process.stderr.write(`${error.message}\n`));
const tell = (mail: Mail): void => void process.send?.(mail);

async function cron({ everyMs, replica }: ReplicaSettings): Promise<void> {
  for (;;) {
    const hourMs = (Math.floor(Date.now() / everyMs) + 1) * everyMs;
    await sleep(hourMs - Date.now());
    void sendMails(redis, settings, `${replica} ${hourMs}`, hourMs, tell);
  }
}

async function holdfast({ prefix, everyMs, leaseMs, replica }: ReplicaSettings): Promise<void> {
  const scheduler = new Scheduler(redis, "billing", { prefix, leaseMs, pollMs: 100, runner: replica });
  scheduler.job("reminders", { version: 1, everyMs, missed: "all", overlap: "queue", backoff: { baseMs: 0 } }, (run) =>
    sendMails(redis, settings, run.occurrenceId, run.scheduledForMs, tell, run.signal),
  );
  process.once("SIGTERM", () => {
    void scheduler.stop({ graceMs: 2_000 }).then(() => process.exit(0));
  });
  await scheduler.start();
}

if (settings.kind === "holdfast") await holdfast(settings);
else void cron(settings);
reportReady();
