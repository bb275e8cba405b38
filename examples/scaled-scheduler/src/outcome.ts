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

/** A replica that was killed, and the hour that it was at. */
export interface Killed {
  readonly replica: string;
  readonly hourMs: number;
}

/** Mails that were not sent. */
export function missingOf(mails: readonly Mail[], hours: readonly number[], customers: number): number {
  return hours.length * customers - countsOf(mails).size;
}

/** What the outbox says about a run. */
export function outcomeOf(
  mails: readonly Mail[],
  hours: readonly number[],
  customers: number,
  killed: Killed | null,
): Outcome {
  const beginners = (hour: number): number =>
    mails.filter(({ hourMs, customer }) => hourMs === hour && customer === 0).length;
  const interrupted = mails.filter(({ hourMs }) => hourMs === killed?.hourMs);
  const last = interrupted.findLastIndex(({ replica }) => replica === killed?.replica);
  return {
    due: hours.length * customers,
    sent: mails.length,
    repeated: [...countsOf(mails).values()].filter((count) => count > 1).length,
    missing: missingOf(mails, hours, customers),
    doubledHours: hours.filter((hour) => beginners(hour) > 1).length,
    takenOver: last === -1 ? 0 : interrupted.slice(last + 1).length,
  };
}

function countsOf(mails: readonly Mail[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { hourMs, customer } of mails) {
    const key = `${hourMs} ${customer}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
