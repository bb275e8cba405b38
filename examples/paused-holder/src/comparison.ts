/**
 * Owns what the figures of the two runs mean: the table, and what would make the demo fail.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import { describeScale, type Course } from "./course.ts";
import type { Outcome } from "./outcome.ts";

/** Compares the run with the usual lock to the one with a fenced lock. */
export function compare(usual: Outcome, fenced: Outcome, course: Course): ScenarioReport {
  return {
    usual: "SET NX PX",
    holdfast: "fenced",
    rows: rowsOf(usual, fenced, course),
    verdict: { usual: verdictOf(usual), holdfast: verdictOf(fenced) },
    notes: notesOf(usual, course),
    problems: [
      ...failuresOf(fenced),
      ...emptinessOf("SET NX PX", usual, course),
      ...emptinessOf("fenced", fenced, course),
    ],
  };
}

function rowsOf(usual: Outcome, fenced: Outcome, { scale }: Course): ComparisonRow[] {
  const row = (label: string, cell: (outcome: Outcome) => Cell): ComparisonRow => ({
    label,
    usual: cell(usual),
    holdfast: cell(fenced),
  });
  return [
    row("postings reported as done", ({ postings }) => plain(postings)),
    row("writes attempted", ({ writes }) => plain(writes)),
    row("stale writes accepted", ({ staleAccepted }) => wantedZero(staleAccepted)),
    row("stale writes refused by PostgreSQL", ({ staleRefusedByPostgres }) => plain(staleRefusedByPostgres)),
    row("stale writes refused by Redis", ({ staleRefusedByRedis }) => plain(staleRefusedByRedis)),
    row("updates lost in the ledger", ({ lostUpdates }) => wantedZero(lostUpdates)),
    row("balances wrong by", ({ wrongByCents }) => ({
      text: (wrongByCents / 100).toFixed(2),
      tone: wrongByCents === 0 ? "good" : "bad",
    })),
    row("wrong balances shown to customers", ({ shownWrong }) => wantedZero(shownWrong)),
    row("knew before the write that the lock was lost", ({ knewBeforeWrite, lost }) => ({
      text: `${knewBeforeWrite} of ${lost}`,
      tone: knewBeforeWrite === lost ? "good" : "bad",
    })),
    row(`holder told after, median (ttl ${scale.ttlMs} ms)`, ({ toldAfterGrantMs }) => told(toldAfterGrantMs)),
    row("holder told after it woke up, median", ({ toldAfterWakingMs }) => told(toldAfterWakingMs)),
    row("manual clean-up needed", ({ accountsWrong }) =>
      accountsWrong > 0 ? { text: `yes, ${accountsWrong} accounts`, tone: "bad" } : { text: "no", tone: "good" },
    ),
  ];
}

function told(ms: number | null): Cell {
  if (ms === null) return { text: "never", tone: "bad" };
  return plain(`${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`);
}

function verdictOf({ lostUpdates, postings, staleRefusedByPostgres, staleRefusedByRedis }: Outcome): string {
  const refused = staleRefusedByPostgres + staleRefusedByRedis;
  return `${lostUpdates} of ${postings} updates lost${refused > 0 ? `, ${refused} stale writes refused` : ""}`;
}

function notesOf({ lostUpdates, accountsWrong }: Outcome, { scale, accounts, rounds }: Course): string[] {
  return [
    describeScale(scale),
    `each run: ${rounds} times a process that holds ${accounts} locks is stopped with SIGSTOP, each time between its check of the locks and its writes`,
    "a stopped process cannot be told anything; what counts is whether it knows before it writes, and what happens when it writes all the same",
    ...(lostUpdates === 0 && accountsWrong === 0
      ? ["with SET NX PX nothing was lost this time, although every lock was taken over"]
      : []),
  ];
}

/** What Holdfast promised and did not keep. */
function failuresOf(fenced: Outcome): string[] {
  const { staleAccepted, lostUpdates, accountsWrong, shownWrong, knewBeforeWrite, lost, toldAfterGrantMs } = fenced;
  return [
    ...(staleAccepted > 0 ? [`fenced: ${staleAccepted} stale writes were accepted`] : []),
    ...(lostUpdates > 0 ? [`fenced: ${lostUpdates} updates were lost`] : []),
    ...(accountsWrong > 0 ? [`fenced: ${accountsWrong} accounts have a wrong balance`] : []),
    ...(shownWrong > 0 ? [`fenced: customers see ${shownWrong} wrong balances`] : []),
    ...(knewBeforeWrite < lost || toldAfterGrantMs === null
      ? [`fenced: only ${knewBeforeWrite} of ${lost} holders could know that they had lost their lock`]
      : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(side: string, outcome: Outcome, { scale, accounts, rounds }: Course): string[] {
  const { postings, entries, lost, staleAccepted, staleRefusedByPostgres, staleRefusedByRedis, pausedMsMin } = outcome;
  const stale = staleAccepted + staleRefusedByPostgres + staleRefusedByRedis;
  const wanted = accounts * rounds;
  return [
    ...(postings !== 2 * wanted ? [`${side}: ${postings} of ${2 * wanted} postings were done`] : []),
    ...(postings !== entries ? [`${side}: ${postings} postings were reported as done, ${entries} are stored`] : []),
    ...(lost !== wanted || stale !== 2 * wanted ? [`${side}: ${stale} of ${2 * wanted} stale writes were tried`] : []),
    ...(pausedMsMin <= scale.ttlMs
      ? [`${side}: a pause of ${Math.round(pausedMsMin)} ms did not outlast the ttl`]
      : []),
  ];
}
