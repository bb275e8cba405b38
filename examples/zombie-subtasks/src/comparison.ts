/**
 * Owns what the figures of the two sides mean: the table, and what would make the demo fail.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import type { Course, Side } from "./course.ts";
import { knownOf, type Outcome } from "./outcome.ts";

/** What HTTP, timers and a busy machine may take on top of the time and the grace of a request. */
const SLACK_MS = 1_000;

/** Compares a race against the time with a scope. */
export function compare({ race, scope }: Readonly<Record<Side, Outcome>>, course: Course): ScenarioReport {
  return {
    usual: "Promise.race",
    holdfast: "scope",
    rows: rowsOf(race, scope),
    verdict: { usual: verdictOf(race), holdfast: verdictOf(scope) },
    notes: notesOf(scope, course),
    problems: [
      ...failuresOf(scope, course),
      ...emptinessOf("Promise.race", race, course),
      ...emptinessOf("scope", scope, course),
    ],
  };
}

function rowsOf(race: Outcome, scope: Outcome): ComparisonRow[] {
  const row = (label: string, cell: (outcome: Outcome) => Cell): ComparisonRow => ({
    label,
    usual: cell(race),
    holdfast: cell(scope),
  });
  return [
    row("requests answered, all with a timeout", ({ traffic }) => plain(traffic.timedOut)),
    row("slowest answer", ({ traffic }) => plain(ms(traffic.longestMs))),
    row("subtasks that ran on after their request", ({ shop }) => plain(shop.outlived)),
    row("of them, nobody knows of", (outcome) => wantedZero(unknownOf(outcome))),
    row("most subtasks at one time", ({ shop }) => plain(shop.mostAtOnce)),
    row("most requests in the dependency at one time", ({ recommender }) => plain(recommender.mostAtOnce)),
    row("work after the answer, all subtasks", ({ shop }) => plain(ms(shop.wastedMs))),
    row("subtasks running after the last answer", ({ runningAtTheEnd }) => plain(runningAtTheEnd)),
    row("all quiet after the last answer", ({ afterLastAnswerMs }) => plain(ms(afterLastAnswerMs))),
  ];
}

function ms(duration: number): string {
  return duration < 1_000 ? `${Math.round(duration)} ms` : `${(duration / 1_000).toFixed(1)} s`;
}

function unknownOf(outcome: Outcome): number {
  return Math.max(0, outcome.shop.outlived - knownOf(outcome));
}

function verdictOf(outcome: Outcome): string {
  const known = knownOf(outcome);
  const { outlived } = outcome.shop;
  return `${outlived} subtasks ran on${known > 0 ? `, all with a name` : ""}`;
}

function notesOf(scope: Outcome, { timeoutMs, graceMs, recommendationsMs, deafEvery }: Course): string[] {
  const names = Object.entries(scope.shop.known).map(([name, count]) => `${name} ${count} times`);
  return [
    `each request has ${timeoutMs} ms, its recommendations take ${recommendationsMs / 1_000} s; what ends within ${graceMs} ms of the answer is not counted, on both sides`,
    `every ${deafEvery}th request has a subtask that does not listen: nothing can stop it, but a scope reports it (${names.join(", ") || "none"})`,
  ];
}

/** What Holdfast promised and did not keep. */
function failuresOf(scope: Outcome, { timeoutMs, graceMs, requests, deafEvery }: Course): string[] {
  const { shop, recommender, traffic, customersStoodStillMs } = scope;
  const deaf = Math.floor(requests / deafEvery);
  const mostMs = timeoutMs + graceMs + SLACK_MS + shop.stoodStillMs + customersStoodStillMs;
  return [
    ...(unknownOf(scope) > 0 ? [`scope: ${unknownOf(scope)} subtasks ran on that have no name`] : []),
    ...(shop.outlived > deaf
      ? [`scope: ${shop.outlived} subtasks ran on after their request, ${deaf} of them do not listen`]
      : []),
    ...(shop.running > 0 || recommender.working > 0
      ? [`scope: ${shop.running} subtasks and ${recommender.working} requests to the dependency never ended`]
      : []),
    ...(traffic.longestMs > mostMs ? [`scope: an answer took ${Math.round(traffic.longestMs)} ms`] : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(side: string, { traffic }: Outcome, { requests }: Course): string[] {
  return traffic.timedOut === requests ? [] : [`${side}: ${traffic.timedOut} of ${requests} requests timed out`];
}
