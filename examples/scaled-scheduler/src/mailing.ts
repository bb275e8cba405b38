/**
 * Owns what the job does, the same on both sides: a mail to each customer, into an outbox. How far it has come is written together with
 * each mail, so that whoever takes an hour over goes on where the one before stopped.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";

/** Where mails go, and how long each takes. */
export interface Mailing {
  readonly prefix: string;
  readonly customers: number;
  readonly mailMs: number;
  readonly replica: string;
}

/** One mail that was sent. */
export interface Mail {
  /** The hour it is for, in epoch milliseconds. */
  readonly hourMs: number;
  readonly customer: number;
  readonly replica: string;
}

/** The list of mails sent. */
export function outboxKey(prefix: string): string {
  return `${prefix}:outbox`;
}

/**
 * Mails every customer who has not been mailed by this job so far.
 *
 * @param job under which name progress is kept: the occurrence, or what a replica without one makes up.
 * @param onMail is told of each mail.
 */
export async function sendMails(
  redis: Redis,
  { prefix, customers, mailMs, replica }: Mailing,
  job: string,
  hourMs: number,
  onMail: (mail: Mail) => void,
  signal?: AbortSignal,
): Promise<void> {
  const progress = `${prefix}:progress`;
  const from = Number((await redis.hget(progress, job)) ?? 0);
  for (let customer = from; customer < customers; customer += 1) {
    signal?.throwIfAborted();
    const mail: Mail = { hourMs, customer, replica };
    await redis
      .multi()
      .rpush(outboxKey(prefix), JSON.stringify(mail))
      .hset(progress, job, customer + 1)
      .exec();
    onMail(mail);
    await sleep(mailMs);
  }
}
