/** What a history of timers on the stage has to keep besides: there it is known how time has passed, and who could have acted. */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { Operation } from "../history/operation.ts";
import { StageTime } from "../history/stage-time.ts";
import { isLifeOf } from "../history/window.ts";
import { number } from "./deliveries.ts";
import type { Deliveries } from "./deliveries.ts";
import { Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "timer";

/** After how long a timer of the stage is due, in milliseconds. */
export const stagedAfterMs = 1_000;
/** How long a firing of the stage is kept without renewal, in milliseconds. */
export const stagedLeaseMs = 10_000;
/** How often the workers of the stage look, in milliseconds. */
export const stagedPollMs = 1_000;
/** Who leaves a timer lying for so many polls, while time is advanced as often, has not looked. */
const looksMax = 3;

/** On the stage tokens tell by the server's clock when each firing was claimed: within a lease of the one before, that one has ended. */
export function leasesKeepOthersOut(round: RoundRecord, { byId }: Deliveries): Verdict[] {
  if (!new StageTime(round, scenario).isStaged) return [];
  const rule = new Rule(scenario, "T3 while a firing is leased nobody else gets the timer");
  const ends = new Map(
    ["done", "failed"]
      .flatMap((how) => notesOf(round.entries, scenario, how))
      .map(({ resource, values, atMs }) => [`${resource} ${String(values["token"])}`, atMs]),
  );
  // Whoever ends gives back what it holds.
  const crashes = round.faults.filter(({ nemesis }) => nemesis === "crash");
  for (const [id, notes] of byId) {
    for (const earlier of notes) {
      const token = number(earlier, "token");
      const endMs = ends.get(`${id} ${token}`) ?? Infinity;
      for (const later of notes) {
        const apartMs = (number(later, "token") - token) / 1_000;
        if (apartMs <= 0 || apartMs >= stagedLeaseMs || endMs <= later.atMs) continue;
        const gone = crashes.some(
          ({ pods, beginMs }) => beginMs < later.atMs && pods.some((pod) => isLifeOf(earlier.process, pod)),
        );
        rule.check(
          gone,
          () => `${id}: ${later.process} got it ${apartMs.toFixed(0)} ms after ${earlier.process}, who had not ended`,
        );
      }
    }
  }
  return [rule.verdict];
}

/** On the stage, where it is known who could have acted: what is due is not left lying with nobody. */
export function noneIsStranded(round: RoundRecord, schedules: readonly Operation[], { byId }: Deliveries): Verdict[] {
  const time = new StageTime(round, scenario);
  if (!time.isGentle) return [];
  const rule = new Rule(scenario, "T2 K7 while everybody runs, what is due is delivered, also when replies are lost");
  for (const [id, notes] of byId) {
    const [first] = notes;
    // Behind several handlers that have not ended it waits for a free place.
    if (first === undefined || notesOf(round.entries, scenario, "delivered").indexOf(first) > looksMax) continue;
    // By the history: a delivery that failed may have given the timer another deadline.
    const asked = schedules.filter(
      ({ resource, outcome, answer }) =>
        resource === id && outcome === "ok" && answer["generation"] === first.values["generation"],
    );
    if (asked.length === 0) continue;
    const dueMs = Math.min(...asked.map(({ answeredAtMs }) => time.at(answeredAtMs))) + stagedAfterMs;
    const [lateMs, advances] = [time.at(first.atMs) - dueMs, time.advancesSince(dueMs, first)];
    rule.check(
      lateMs <= looksMax * stagedPollMs || advances <= looksMax,
      () => `${id}: ${lateMs.toFixed(0)} ms late, with time passing ${advances} times`,
    );
  }
  return [rule.verdict];
}
