/**
 * Owns what the figures of the three runs mean: the table, and what would make the demo fail. Only the inventory can.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import type { Course } from "./course.ts";
import type { RunResult } from "./run.ts";

/** Compares the three shops. */
export function compare(getDecr: RunResult, plainLua: RunResult, held: RunResult, course: Course): ScenarioReport {
  return {
    usual: "GET, DECR",
    alsoUsual: "usual Lua",
    holdfast: "inventory",
    rows: rowsOf(getDecr, plainLua, held),
    verdict: { usual: `${verdictOf(getDecr)}; Lua: ${verdictOf(plainLua)}`, holdfast: verdictOf(held) },
    notes: notesOf(getDecr, plainLua, held, course),
    problems: [...failuresOf(held), ...emptinessOf(held)],
  };
}

function rowsOf(...[getDecr, plainLua, held]: readonly [RunResult, RunResult, RunResult]): ComparisonRow[] {
  const row = (label: string, cell: (run: RunResult) => Cell): ComparisonRow => ({
    label,
    usual: cell(getDecr),
    alsoUsual: cell(plainLua),
    holdfast: cell(held),
  });
  return [
    row("units on sale", ({ outcome }) => plain(outcome.units)),
    row("units sold", ({ outcome: { sold, units } }) => ({
      text: String(sold),
      tone: sold === units ? "good" : "bad",
    })),
    row("sold and never there", ({ outcome }) => wantedZero(outcome.oversold)),
    row("sold twice to one buyer", ({ outcome }) => wantedZero(outcome.soldTwice)),
    row("charged, and told that it is sold out", ({ outcome }) => wantedZero(outcome.chargedInVain)),
    row("neither sold nor on the shelf", ({ outcome }) => wantedZero(outcome.lost)),
    row("carts abandoned", ({ counts }) => plain(counts.abandoned)),
    row("requests sent again", ({ repeats }) => plain(repeats)),
    row("orders that the ledger does not have alike", ({ outcome: { ledger } }) =>
      ledger === null ? plain("no ledger") : wantedZero(ledger.unmatched),
    ),
  ];
}

function verdictOf({ outcome: { sold, units, soldTwice, lost } }: RunResult): string {
  const faults = [...(soldTwice > 0 ? [`${soldTwice} twice`] : []), ...(lost > 0 ? [`${lost} lost`] : [])];
  return [`${sold} of ${units} sold`, ...faults].join(", ");
}

function notesOf(getDecr: RunResult, plainLua: RunResult, { outcome, counts }: RunResult, course: Course): string[] {
  const { holdMs, chargeMs, buyers } = course;
  const notes = [
    `10 minutes to pay → ${holdMs} ms; a card takes ${chargeMs} ms; ${buyers} buyers at three replicas, one killed in the middle`,
  ];
  if (outcome.ledger !== null) {
    notes.push(
      `inventory: ${counts.abandoned} carts were abandoned, ${outcome.ledger.expired} ended by time and were sold to others; ` +
        `the ledger has ${outcome.ledger.sold} units as sold, each under the id of its order`,
    );
  }
  if (getDecr.outcome.oversold === 0) notes.push("GET, DECR: oversold nothing this time: the buyers came too slowly");
  if (plainLua.outcome.lost === 0) notes.push("usual Lua: lost nothing this time");
  return notes;
}

/** What Holdfast promised and did not keep. */
function failuresOf({ outcome }: RunResult): string[] {
  const { units, sold, soldTwice, chargedInVain, onShelf, lost, ledger } = outcome;
  return [
    ...(sold === units ? [] : [`inventory: ${sold} of ${units} units were sold, ${onShelf} are on the shelf`]),
    ...(lost > 0 ? [`inventory: ${lost} units are neither sold nor on the shelf`] : []),
    ...(soldTwice > 0 ? [`inventory: ${soldTwice} units were sold twice to one buyer`] : []),
    ...(chargedInVain > 0 ? [`inventory: ${chargedInVain} buyers were charged and told that it is sold out`] : []),
    ...(ledger?.sold === sold ? [] : [`inventory: the ledger has ${ledger?.sold ?? "no"} units as sold, not ${sold}`]),
    ...(ledger !== null && ledger.unmatched > 0
      ? [`inventory: ${ledger.unmatched} orders and movements do not match`]
      : []),
    ...(ledger !== null && ledger.drift > 0 ? ["inventory: the ledger's balance is not what Redis has"] : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf({ outcome: { ledger }, counts, repeats, killed }: RunResult): string[] {
  return [
    ...(killed ? [] : ["inventory: no replica was killed during the sale"]),
    ...(counts.abandoned > 0 ? [] : ["inventory: no cart was abandoned"]),
    ...(ledger !== null && ledger.expired > 0 ? [] : ["inventory: no cart ended by time"]),
    ...(repeats > 0 ? [] : ["inventory: no request was sent again"]),
  ];
}
