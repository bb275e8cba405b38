/**
 * Owns what the figures of the two runs mean: the table, and what would make the demo fail.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import type { Outcome } from "./outcome.ts";
import type { Course, RunResult } from "./run.ts";
import { describeScale } from "./scale.ts";

/** Less traffic than this share of the plan proves nothing. */
const FLOWED_MIN = 0.9;

/** Compares the run with timeouts in memory to the one with durable timeouts. */
export function compare(memory: RunResult, durable: RunResult, course: Course): ScenarioReport {
  return {
    usual: "in memory",
    holdfast: "durable",
    rows: rowsOf(memory.outcome, durable.outcome),
    verdict: { usual: verdictOf(memory.outcome), holdfast: verdictOf(durable.outcome) },
    notes: [describeScale(course.scale), ...notesOf(memory, durable)],
    problems: [
      ...failuresOf(durable.outcome),
      ...emptinessOf("in memory", memory, course),
      ...emptinessOf("durable", durable, course),
    ],
  };
}

function rowsOf(memory: Outcome, durable: Outcome): ComparisonRow[] {
  const row = (label: string, cell: (outcome: Outcome) => Cell): ComparisonRow => ({
    label,
    usual: cell(memory),
    holdfast: cell(durable),
  });
  return [
    row("orders placed", ({ placed }) => plain(placed)),
    row("paid", ({ paid }) => plain(paid)),
    row("timed out", ({ timedOut }) => plain(timedOut)),
    row("stuck in PENDING_PAYMENT", ({ stuck }) => wantedZero(stuck)),
    row("timed out twice", ({ timedOutTwice }) => wantedZero(timedOutTwice)),
    row("paid and timed out", ({ paidAndTimedOut }) => wantedZero(paidAndTimedOut)),
    row("timed out early", ({ timedOutEarly }) => wantedZero(timedOutEarly)),
    row("late timeouts refused by the compare-and-set", ({ refused }) => plain(refused)),
    row("lateness, median", ({ latenessMedianMs }) => plain(milliseconds(latenessMedianMs))),
    row("lateness, worst", ({ latenessWorstMs, stuck }) =>
      stuck > 0 ? { text: "for ever", tone: "bad" } : plain(milliseconds(latenessWorstMs)),
    ),
    row("manual clean-up needed", ({ stuck }) =>
      stuck > 0 ? { text: `yes, ${stuck} orders`, tone: "bad" } : { text: "no", tone: "good" },
    ),
  ];
}

function verdictOf({ stuck, placed, timedOutTwice, paidAndTimedOut }: Outcome): string {
  const doubled = timedOutTwice + paidAndTimedOut;
  return `${stuck} of ${placed} stuck${doubled > 0 ? `, ${doubled} decided twice` : ""}`;
}

function notesOf(memory: RunResult, durable: RunResult): string[] {
  const { replaced, crashed } = durable.deployment;
  const { latenessWorstMs } = memory.outcome;
  const notes = [
    `each run: ${replaced} replicas replaced, ${crashed} killed with no warning, the same customers`,
    told("in memory", memory),
    told("durable", durable),
  ];
  if (memory.outcome.stuck === 0)
    notes.push(
      "in memory, nothing was lost this time: no order was waiting in a replica that went. Try another --seed.",
    );
  else if (latenessWorstMs !== null)
    notes.push(`in memory, the timeouts that did come were at worst ${milliseconds(latenessWorstMs)} late`);
  return notes;
}

function told(side: string, { traffic, retries, deployment }: RunResult): string {
  const { paid, tooLate, answersLost } = traffic;
  const { overran } = deployment;
  return [
    `${side}: ${paid} payments taken, ${tooLate} told too late`,
    `requests sent on: ${retries}, answers lost: ${answersLost}`,
    ...(overran > 0 ? [`${overran} replicas killed at the end of their grace period`] : []),
  ].join("; ");
}

/** What Holdfast promised and did not keep. */
function failuresOf(outcome: Outcome): string[] {
  const { stuck, timedOutTwice, paidAndTimedOut, timedOutEarly } = outcome;
  return [
    ...(stuck > 0 ? [`durable: ${stuck} orders are stuck`] : []),
    ...(timedOutTwice > 0 ? [`durable: ${timedOutTwice} orders were timed out twice`] : []),
    ...(paidAndTimedOut > 0 ? [`durable: ${paidAndTimedOut} orders were both paid and timed out`] : []),
    ...(timedOutEarly > 0 ? [`durable: ${timedOutEarly} orders were timed out early`] : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(side: string, { outcome, traffic, deployment }: RunResult, course: Course): string[] {
  const { placed, paid, timedOut, stuck } = outcome;
  const enough = Math.floor(course.ordersMin * FLOWED_MIN);
  return [
    ...(placed < enough ? [`${side}: only ${placed} of ${course.ordersMin} orders were placed`] : []),
    ...(placed < traffic.placed ? [`${side}: ${traffic.placed} orders were confirmed, ${placed} are stored`] : []),
    ...(placed !== paid + timedOut + stuck ? [`${side}: the orders do not add up`] : []),
    ...(paid === 0 || timedOut === 0 ? [`${side}: no order was paid, or none was timed out`] : []),
    ...(deployment.replaced < 3 || deployment.crashed < 1 ? [`${side}: the deployment did not go as planned`] : []),
  ];
}

function milliseconds(ms: number | null): string {
  if (ms === null) return "–";
  return `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
