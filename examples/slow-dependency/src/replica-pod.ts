/**
 * One replica: calls both dependencies at fixed times, however long the answers take, as its own callers would make it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { watchStandStill } from "@holdfast-examples/stage";
import { reportReady, servePod } from "@holdfast/testkit";
import { BreakerAroundPool } from "./breaker-around-pool.ts";
import { Bulkheads } from "./bulkheads.ts";
import type { Side } from "./course.ts";
import type { Outbound, OutboundOptions, Request } from "./outbound.ts";
import { Pool } from "./pool.ts";
import { Tally, type CallFigures } from "./tally.ts";

/** What a replica is told. */
export interface ReplicaSettings extends OutboundOptions {
  readonly side: Side;
  readonly paymentsUrl: string;
  readonly profilesUrl: string;
  /** Between two calls to the same dependency. */
  readonly everyMs: number;
}

/** What a replica has seen since it was told to count, and how long it stood still since it was told to start. */
export interface ReplicaFigures {
  readonly payments: CallFigures;
  readonly profiles: CallFigures;
  readonly openings: number;
  readonly advice: string | null;
  /** The longest time for which this process did not run, for lack of a processor or for itself. */
  readonly stoodStillMs: number;
}

const OUTBOUNDS: Readonly<Record<Side, new (options: OutboundOptions) => Outbound>> = {
  pool: Pool,
  opossum: BreakerAroundPool,
  bulkhead: Bulkheads,
};

const settings = JSON.parse(process.env["REPLICA"] ?? "") as ReplicaSettings;
const outbound = new OUTBOUNDS[settings.side](settings);
let stoodStillMs = (): number => 0;
let tallies = newTallies();
let openingsBefore = 0;
const offering = { goesOn: true };

function newTallies(): { payments: Tally; profiles: Tally } {
  return { payments: new Tally(settings.deadlineMs), profiles: new Tally(settings.deadlineMs) };
}

function requestTo(url: string, tally: () => Tally): Request {
  return (signal) =>
    tally().time(async () => {
      const response = await fetch(url, { signal });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    });
}

async function offer(): Promise<void> {
  const toPayments = requestTo(settings.paymentsUrl, () => tallies.payments);
  const toProfiles = requestTo(settings.profilesUrl, () => tallies.profiles);
  const beginMs = performance.now();
  for (let index = 1; offering.goesOn; index += 1) {
    tallies.payments.count(() => outbound.payments(toPayments));
    tallies.profiles.count(() => outbound.profiles(toProfiles));
    // By the clock: a late call does not put off the next one.
    await sleep(Math.max(0, beginMs + index * settings.everyMs - performance.now()));
  }
}

function figures(): ReplicaFigures {
  return {
    payments: tallies.payments.read(),
    profiles: tallies.profiles.read(),
    openings: outbound.openings - openingsBefore,
    advice: outbound.advice,
    stoodStillMs: stoodStillMs(),
  };
}

servePod({
  start: () => {
    stoodStillMs = watchStandStill();
    void offer();
  },
  /** What was before does not count. */
  count: () => {
    tallies = newTallies();
    openingsBefore = outbound.openings;
  },
  figures,
  finish: async () => {
    offering.goesOn = false;
    // The last calls have their time too; who waits for longer has no answer in time.
    await sleep(settings.deadlineMs);
    return figures();
  },
});
reportReady();
