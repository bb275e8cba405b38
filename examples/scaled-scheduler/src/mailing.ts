/**
 * Owns what the job does, the same on both sides: a mail to each customer, into an outbox that knows how far it has come, so that whoever
 * takes an hour over goes on where the one before stopped.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** What a mailing is. */
export interface Mailing {
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

/** Where mails go. */
export interface Outbox {
  /** The first customer who has no mail of this job. */
  next(job: string): Promise<number>;
  /** Sends a mail, and notes with it how far the job has come. */
  put(job: string, mail: Mail): Promise<void>;
}

/** The key of the list of all mails. */
export function outboxKey(prefix: string): string {
  return `${prefix}:{mailing}:outbox`;
}

/** The key of how far each job has come. */
export function progressKey(prefix: string): string {
  return `${prefix}:{mailing}:progress`;
}

/**
 * Sends the mails of an hour.
 *
 * @param job under which name the progress is kept: who has the same one goes on
 * @param onMail told of each mail, and waited for
 * @param signal ends it early
 */
export async function sendMails(
  outbox: Outbox,
  { customers, mailMs, replica }: Mailing,
  job: string,
  hourMs: number,
  onMail: (mail: Mail) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const from = await outbox.next(job);
  for (let customer = from; customer < customers; customer += 1) {
    signal?.throwIfAborted();
    const mail: Mail = { hourMs, customer, replica };
    await outbox.put(job, mail);
    await onMail(mail);
    await sleep(mailMs);
  }
}
