/**
 * Owns what the figures of the three sides mean: the table, and what would make the demo fail.
 */
import { plain, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import type { Course, Side } from "./course.ts";
import type { Outcome } from "./outcome.ts";
import { goodput } from "./tally.ts";

/** From here on a share of calls is one to be glad of. */
const GOOD_SHARE = 0.6;
/** A healthy dependency beside a slow one, at the least: a busy machine may cost a call. */
const UNDISTURBED_SHARE = 0.95;
/** What a timer and a request may take on top, on a machine that is not busy. */
const SLACK_MS = 50;
/** A process that stood still for more of a deadline than this has spoilt the figures. */
const INTERRUPTED_SHARE = 0.5;

/** Compares a pool, a breaker around that pool, and bulkheads. */
export function compare(outcomes: Readonly<Record<Side, Outcome>>, course: Course): ScenarioReport {
  const { pool, opossum, bulkhead } = outcomes;
  return {
    usual: "one pool",
    alsoUsual: "opossum around it",
    holdfast: "bulkheads",
    rows: rowsOf(outcomes, course),
    verdict: {
      usual: `${percent(pool)} in time, or ${percent(opossum)} with ${opossum.openings} openings`,
      holdfast: `${percent(bulkhead)} in time, ${bulkhead.openings} openings`,
    },
    notes: notesOf(outcomes, course),
    problems: [
      ...waitsOf(bulkhead, course),
      ...(interruptionOf(outcomes, course) === null ? sharesOf(bulkhead, course) : []),
      ...emptinessOf(outcomes),
    ],
  };
}

function rowsOf({ pool, opossum, bulkhead }: Readonly<Record<Side, Outcome>>, course: Course): ComparisonRow[] {
  const row = (label: string, cell: (outcome: Outcome) => Cell): ComparisonRow => ({
    label,
    usual: cell(pool),
    alsoUsual: cell(opossum),
    holdfast: cell(bulkhead),
  });
  return [
    row("calls to payments while it was slow", ({ payments }) => plain(payments.offered)),
    row(`answered within ${course.deadlineMs} ms`, (outcome) => share(goodput(outcome.payments), GOOD_SHARE)),
    row("openings of its breaker, though it never failed", (outcome) => openingsOf(outcome, pool)),
    row("longest wait for an answer or a refusal", ({ payments, stoodStillMs }) =>
      waitOf(payments.longestMs, course.deadlineMs + SLACK_MS + stoodStillMs),
    ),
    row("profiles, healthy: answered in time", (outcome) => share(goodput(outcome.profiles), UNDISTURBED_SHARE)),
    row("profiles: longest wait", ({ profiles, stoodStillMs }) =>
      waitOf(profiles.longestMs, course.deadlineMs + SLACK_MS + stoodStillMs),
    ),
  ];
}

function openingsOf(outcome: Outcome, withoutBreaker: Outcome): Cell {
  if (outcome === withoutBreaker) return plain("–");
  return { text: String(outcome.openings), tone: outcome.openings === 0 ? "good" : "bad" };
}

function share(part: number, wanted: number): Cell {
  return { text: `${(part * 100).toFixed(1)} %`, tone: part >= wanted ? "good" : "bad" };
}

function waitOf(ms: number, mostMs: number): Cell {
  const text = ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
  return { text, tone: ms <= mostMs ? "good" : "bad" };
}

function percent({ payments }: Outcome): string {
  return `${Math.round(goodput(payments) * 100)} %`;
}

/**
 * Why the shares of a run say nothing about anybody. Who stands still for so long misses the time of calls that were well on their way; and
 * where a healthy dependency takes longer than its permits have time for, somebody has to be refused.
 */
function interruptionOf({ bulkhead }: Readonly<Record<Side, Outcome>>, course: Course): string | null {
  const { deadlineMs, profilesMs } = course;
  const stoodStillMs = Math.max(bulkhead.stoodStillMs, bulkhead.dependenciesStoodStillMs);
  const { requestMs } = bulkhead.profiles;
  const because =
    stoodStillMs > deadlineMs * INTERRUPTED_SHARE
      ? `a process stood still for ${Math.round(stoodStillMs)} ms`
      : requestMs > profilesCarriedMs(course)
        ? `a request to profiles, which takes ${profilesMs} ms, took ${Math.round(requestMs)} ms`
        : null;
  if (because === null) return null;
  return `this machine was too busy: ${because}, so that the shares and the openings prove nothing`;
}

/** The longest requests to profiles that their permits have time for: as many permits as calls come meanwhile. */
function profilesCarriedMs({ permits, replicas, callsPerSecond }: Course): number {
  return (permits.profiles * replicas * 1_000) / callsPerSecond;
}

function notesOf(outcomes: Readonly<Record<Side, Outcome>>, course: Course): string[] {
  const { bulkhead } = outcomes;
  const { payments, permits, openMs } = course;
  const interruption = interruptionOf(outcomes, course);
  return [
    `payments ${payments.beforeMs} → ${payments.afterMs} ms for ${course.slowMs / 1_000} s; all sides at the same time, against the same two dependencies`,
    `each replica has ${permits.payments + permits.profiles} permits: one pool for both dependencies, or ${permits.payments} and ${permits.profiles}; breakers stay open for ${openMs / 1_000} s`,
    ...(bulkhead.advice === null
      ? []
      : [`what the snapshot() of one replica said when most permits were missing: ${bulkhead.advice}`]),
    ...(interruption === null ? [] : [interruption]),
  ];
}

/** Deadlines that Holdfast promised and did not keep. */
function waitsOf({ payments, profiles, stoodStillMs }: Outcome, { deadlineMs }: Course): string[] {
  const longestMs = Math.max(payments.longestMs, profiles.longestMs);
  if (longestMs <= deadlineMs + SLACK_MS + stoodStillMs) return [];
  return [`bulkheads: a call waited for ${Math.round(longestMs)} ms, past its deadline of ${deadlineMs} ms`];
}

/** Answers that Holdfast promised and did not bring. */
function sharesOf({ payments, profiles, openings }: Outcome, { goodputMin }: Course): string[] {
  return [
    ...(goodput(payments) < goodputMin
      ? [`bulkheads: only ${(goodput(payments) * 100).toFixed(1)} % of the calls to payments were answered in time`]
      : []),
    ...(openings > 0 ? [`bulkheads: the breaker of a healthy dependency opened ${openings} times`] : []),
    ...(goodput(profiles) < UNDISTURBED_SHARE
      ? [`bulkheads: only ${(goodput(profiles) * 100).toFixed(1)} % of the calls to profiles were answered in time`]
      : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(outcomes: Readonly<Record<Side, Outcome>>): string[] {
  return Object.entries(outcomes).flatMap(([side, { payments, profiles }]) =>
    payments.offered === 0 || profiles.offered === 0 ? [`${side}: nothing was called`] : [],
  );
}
