/**
 * Owns what the outbox says about a run.
 */
import type { Mail } from "./mailing.ts";

/** What the customers got. */
export interface Outcome {
  /** Mails that should have been sent: hours times customers. */
  readonly due: number;
  readonly sent: number;
  /** Mails that were sent more than once. */
  readonly repeated: number;
  /** Mails that were not sent. */
  readonly missing: number;
  /** Hours at which more than one replica worked from the beginning. */
  readonly doubledHours: number;
  /** Mails that others sent for the hour in which a replica was killed, after its last one. */
  readonly takenOver: number;
}

/** @param killed name of the replica that was killed in the second hour */
export function outcomeOf(
  mails: readonly Mail[],
  hours: readonly number[],
  customers: number,
  killed: string,
): Outcome {
  const counts = new Map<string, number>();
  for (const { hourMs, customer } of mails) {
    const key = `${hourMs} ${customer}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const beginners = (hour: number): number =>
    mails.filter(({ hourMs, customer }) => hourMs === hour && customer === 0).length;
  const interrupted = mails.filter(({ hourMs }) => hourMs === hours[1]);
  const last = interrupted.findLastIndex(({ replica }) => replica === killed);
  return {
    due: hours.length * customers,
    sent: mails.length,
    repeated: [...counts.values()].filter((count) => count > 1).length,
    missing: hours.length * customers - counts.size,
    doubledHours: hours.filter((hour) => beginners(hour) > 1).length,
    takenOver: last === -1 ? 0 : interrupted.slice(last + 1).length,
  };
}
