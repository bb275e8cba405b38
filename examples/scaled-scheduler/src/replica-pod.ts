/**
 * One replica. With `KIND=cron` it has a cron of its own, as most services do; with `KIND=holdfast` it has the scheduler.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Scheduler } from "@holdfast/scheduler";
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { FencedOutbox } from "./fenced-outbox.ts";
import { sendMails, type Mail, type Mailing } from "./mailing.ts";
import { PlainOutbox } from "./plain-outbox.ts";

/** What a replica is told. */
export interface ReplicaSettings extends Mailing {
  readonly kind: "cron" | "holdfast";
  readonly redisUrl: string;
  readonly prefix: string;
  readonly everyMs: number;
  readonly leaseMs: number;
  /** After the mail to this customer it asks whether it shall go on: here it may be killed. */
  readonly asksAfter: number;
}

/** A machine that stands still for seconds is no Redis that does not answer. */
const COMMAND_TIMEOUT_MS = 30_000;
/** A run that the machine interrupts is taken over, however often. */
const ATTEMPTS_MAX = 100;

const settings = JSON.parse(process.env["REPLICA"] ?? "") as ReplicaSettings;
const redis = new Redis(settings.redisUrl);
redis.on("error", (error) => process.stderr.write(`${error.message}\n`));
/** By hour: what waits to go on. */
const waiting = new Map<number, () => void>();

async function tell(mail: Mail): Promise<void> {
  if (mail.customer !== settings.asksAfter) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  // Of a run that was taken over, and come back to: it finds out for itself.
  waiting.get(mail.hourMs)?.();
  waiting.set(mail.hourMs, resolve);
  process.send?.(mail);
  await promise;
}

async function cron({ everyMs, replica, prefix }: ReplicaSettings): Promise<void> {
  const outbox = new PlainOutbox(redis, prefix);
  for (;;) {
    const hourMs = (Math.floor(Date.now() / everyMs) + 1) * everyMs;
    await sleep(hourMs - Date.now());
    void sendMails(outbox, settings, `${replica} ${hourMs}`, hourMs, tell);
  }
}

async function holdfast({ prefix, everyMs, leaseMs, replica }: ReplicaSettings): Promise<void> {
  const common = { prefix, commandTimeoutMs: COMMAND_TIMEOUT_MS };
  const scheduler = new Scheduler(redis, "billing", { ...common, leaseMs, pollMs: 100, runner: replica });
  const rhythm = {
    everyMs,
    missed: "all",
    overlap: "queue",
    attemptsMax: ATTEMPTS_MAX,
    backoff: { baseMs: 0 },
  } as const;
  scheduler.job("reminders", { version: 1, ...rhythm }, (run) => {
    const outbox = new FencedOutbox(redis, run, common);
    return sendMails(outbox, settings, run.occurrenceId, run.scheduledForMs, tell, run.signal);
  });
  process.once("SIGTERM", () => {
    void scheduler.stop({ graceMs: 2_000 }).then(() => process.exit(0));
  });
  await scheduler.start();
}

servePod({ goOn: (hourMs: number) => waiting.get(hourMs)?.() });
if (settings.kind === "holdfast") await holdfast(settings);
else void cron(settings);
reportReady();
