/**
 * Owns what the figures of the two runs mean: the table, and what would make the demo fail.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import { describeScale, type Course } from "./course.ts";
import type { RunResult } from "./run.ts";

/** Replicas that are killed in a run, and that finish in peace: each of three is replaced. */
const KILLS_MIN = 2;

/** Compares billing that acknowledges after the work to billing that does it once. */
export function compare(usual: RunResult, once: RunResult, course: Course): ScenarioReport {
  return {
    usual: "acknowledged after",
    holdfast: "once only",
    rows: rowsOf(usual, once),
    verdict: { usual: verdictOf(usual), holdfast: verdictOf(once) },
    notes: notesOf(usual, once, course),
    problems: [
      ...failuresOf(once),
      ...emptinessOf("acknowledged after", usual, course),
      ...emptinessOf("once only", once, course),
    ],
  };
}

function rowsOf(usual: RunResult, once: RunResult): ComparisonRow[] {
  const row = (label: string, cell: (result: RunResult) => Cell): ComparisonRow => ({
    label,
    usual: cell(usual),
    holdfast: cell(once),
  });
  return [
    row("orders", ({ outcome }) => plain(outcome.orders)),
    row("replicas killed in the middle of charges", ({ replicas }) => plain(replicas.killed)),
    row("messages delivered again", ({ deliveredAgain }) => plain(deliveredAgain)),
    row("charges booked by the provider", ({ outcome }) => plain(outcome.charges)),
    row("repetitions that the provider recognised", ({ outcome }) => plain(outcome.recognised)),
    row("customers charged twice", ({ outcome }) => wantedZero(outcome.chargedTwice)),
    row("taken from them too much", ({ outcome }) => euros(outcome.overchargedCents)),
    row("customers not charged", ({ outcome }) => wantedZero(outcome.notCharged)),
    row("orders without a receipt", ({ outcome }) => wantedZero(outcome.notEntered)),
    row("earnings in the books wrong by", ({ outcome }) => euros(outcome.booksWrongByCents)),
    row("manual clean-up needed", ({ outcome }) =>
      outcome.chargedTwice > 0
        ? { text: `yes, ${outcome.chargedTwice} refunds`, tone: "bad" }
        : { text: "no", tone: "good" },
    ),
  ];
}

function euros(cents: number): Cell {
  return { text: (cents / 100).toFixed(2), tone: cents === 0 ? "good" : "bad" };
}

function verdictOf({ outcome: { chargedTwice, orders }, deliveredAgain }: RunResult): string {
  return `${chargedTwice} of ${orders} charged twice, ${deliveredAgain} redeliveries`;
}

function notesOf(usual: RunResult, once: RunResult, { scale }: Course): string[] {
  const { finished, killed } = once.replicas;
  return [
    describeScale(scale),
    `each run: all replicas are replaced; ${finished} finished their charges on SIGTERM, ${killed} were killed while the provider had booked charges of theirs`,
    "both look for what is done already: the usual code in its books, where a charge that its replica did not live to hear of is missing",
    ...(usual.outcome.chargedTwice === 0
      ? ["nobody was charged twice this time, although replicas were killed: the provider was asked by nobody again"]
      : []),
  ];
}

/** What Holdfast promised and did not keep. */
function failuresOf({ outcome, unsettled }: RunResult): string[] {
  const { chargedTwice, notCharged, notEntered, booksWrongByCents } = outcome;
  return [
    ...(chargedTwice > 0 ? [`once only: ${chargedTwice} customers were charged twice`] : []),
    ...(notCharged > 0 ? [`once only: ${notCharged} customers were not charged`] : []),
    ...(notEntered !== 0 ? [`once only: ${notEntered} orders have no receipt`] : []),
    ...(booksWrongByCents > 0 ? [`once only: the books are wrong by ${booksWrongByCents} cents`] : []),
    ...(unsettled > 0 ? [`once only: ${unsettled} messages were not acknowledged in the end`] : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(side: string, result: RunResult, { ordersMin }: Course): string[] {
  const {
    outcome,
    replicas: { killed },
    deliveredAgain,
  } = result;
  return [
    ...(outcome.orders < ordersMin ? [`${side}: only ${outcome.orders} of ${ordersMin} orders were placed`] : []),
    ...(killed < KILLS_MIN ? [`${side}: ${killed} of ${KILLS_MIN} replicas were killed`] : []),
    ...(deliveredAgain === 0 ? [`${side}: no message had to come again`] : []),
  ];
}
