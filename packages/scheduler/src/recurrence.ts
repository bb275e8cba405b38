/**
 * When a job recurs. Computed from a moment and nothing else, so that every replica comes to the same occurrences.
 *
 * Daylight saving (C4). A cron whose hour field names hours means times on the wall: each happens once a day, in the repeated hour at its
 * first showing, in the skipped hour at the moment of the jump. A cron whose hour field is `*` or a step of it means a rhythm: it goes on
 * through the repeated hour, and has nothing in the skipped one. croner alone treats only a single time as one on the wall: `30 2,14 * * *`
 * would happen twice on the one day and not at all on the other, so this file asks croner for local times and places them itself.
 */
import { Cron } from "croner";
import { WallClock } from "./wall-clock.ts";

/** When a job recurs, as it is put on record. */
export type RecurrenceRule =
  | { readonly cron: string; readonly timezone: string }
  /** Each whole multiple of this since 1970 by UTC. */
  | { readonly everyMs: number };

/** The occurrences of a rule. */
export interface Recurrence {
  /** The first one after a moment, in epoch milliseconds; undefined when there is none. */
  after(atMs: number): number | undefined;
}

const fieldsMin = 5;
const fieldsMax = 6;

/** @throws RangeError for a pattern or a zone that cannot be read */
export function recurrenceOf(rule: RecurrenceRule): Recurrence {
  if ("everyMs" in rule) {
    const { everyMs } = rule;
    return { after: (atMs) => (Math.floor(atMs / everyMs) + 1) * everyMs };
  }
  const wall = zone(rule.timezone);
  const fields = rule.cron.trim().split(/\s+/u);
  const hours = fields.at(-4) ?? "";
  return hours.startsWith("*") ? rhythm(rule) : timesOnTheWall(rule.cron, wall);
}

function rhythm({ cron, timezone }: { readonly cron: string; readonly timezone: string }): Recurrence {
  const pattern = parse(cron, timezone);
  return { after: (atMs) => pattern.nextRun(new Date(atMs))?.getTime() };
}

function timesOnTheWall(cron: string, wall: WallClock): Recurrence {
  const pattern = parse(cron, "UTC");
  const momentAfter = (localMs: number): number | undefined => {
    const local = pattern.nextRun(new Date(localMs));
    return local === null ? undefined : wall.momentMs(local.getTime());
  };
  return {
    after(atMs) {
      // Every local time up to the present one has had its moment by now; in the repeated hour so have some later ones.
      const next = momentAfter(wall.localMs(atMs));
      return next === undefined || next > atMs ? next : momentAfter(wall.latestLocalMs(atMs));
    },
  };
}

function parse(cron: string, timezone: string): Cron {
  const fields = cron.trim().split(/\s+/u).length;
  const allowed = `cron must be a pattern of ${fieldsMin} or ${fieldsMax} fields, got ${JSON.stringify(cron)}`;
  if (fields < fieldsMin || fields > fieldsMax) throw new RangeError(allowed);
  try {
    return new Cron(cron, { timezone, paused: true });
  } catch (cause) {
    throw new RangeError(`${allowed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function zone(timezone: string): WallClock {
  try {
    return new WallClock(timezone);
  } catch (cause) {
    throw new RangeError(`timezone must be an IANA time zone that is known here, got ${JSON.stringify(timezone)}`, {
      cause,
    });
  }
}
