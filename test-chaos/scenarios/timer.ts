/**
 * Timers: pods schedule, reschedule and cancel, and all of them fire what is due. What was scheduled is also in the history, which stands
 * for the table of a service: after a loss it is what `reconcile` is given.
 */
import { DurableTimer } from "@holdfast/timer";
import type { Firing } from "@holdfast/timer";
import { pollUntil } from "@holdfast/testkit";
import { attemptsMax, checkTimer, leaseMs } from "../checkers/timer.ts";
import { notesOf, operationsOf } from "../history/operation.ts";
import { aborted, pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const commandTimeoutMs = 400;
/** Where nothing fails there is no hurry, and the machine may be busy. */
const benchTimeoutMs = 60_000;
const pollMs = 150;
const atRestWithinMs = 60_000;

/** How a handler behaves. */
export interface Payload {
  readonly behaviour: "plain" | "slow" | "fails-once" | "poison";
}

async function fire(place: Workplace, firing: Firing<Payload>): Promise<void> {
  const { id, generation, token, attempt, latenessMs, payload } = firing;
  place.note("delivered", id, { generation, token, attempt, latenessMs });
  if (payload.behaviour === "poison") throw new Error("poison");
  if (payload.behaviour === "fails-once" && attempt === 1) throw new Error("the first attempt");
  if (payload.behaviour === "slow") await pace(leaseMs * 1.4, firing.signal);
  else await pace(place.random.int(0, 30), firing.signal);
  place.note("done", id, { generation, token, lost: firing.signal.aborted });
}

async function scheduleOne(place: Workplace, timer: DurableTimer<Payload>, id: string): Promise<void> {
  const { random } = place;
  const operation = random.id();
  const behaviour = random.pick([
    "plain",
    "plain",
    "plain",
    "plain",
    "slow",
    "fails-once",
    random.chance(0.2) ? "poison" : "plain",
  ] as const);
  const afterMs = random.int(0, 900);
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    const called = await place.call(
      { call: "schedule", resource: id, operation, values: { afterMs, behaviour } },
      () => timer.schedule({ id, afterMs, payload: { behaviour }, ifExists: "replace", operationId: operation }),
      ({ kind, generation }) => ({ kind, generation }),
    );
    if (called.outcome === "ok" || place.quiet.aborted) return;
    await pace(60, place.quiet);
  }
}

async function cancelOne(place: Workplace, timer: DurableTimer<Payload>, id: string): Promise<void> {
  const operation = place.random.id();
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    const called = await place.call(
      { call: "cancel", resource: id, operation },
      () => timer.cancel(id, { operationId: operation }),
      ({ kind }) => ({ kind }),
    );
    if (called.outcome === "ok" || place.quiet.aborted) return;
    await pace(60, place.quiet);
  }
}

async function work(place: Workplace): Promise<void> {
  const { random } = place;
  const timer = new DurableTimer<Payload>(place.redis, "timeouts", { prefix: place.prefix, commandTimeoutMs });
  const backoff = { baseMs: 30, delayMaxMs: 200 };
  const worker = timer.worker({ concurrencyMax: 16, leaseMs, pollMs, attemptsMax, backoff }, (firing) =>
    fire(place, firing),
  );
  await worker.start();
  const asks = async (): Promise<void> => {
    let count = 0;
    while (!place.quiet.aborted) {
      count += 1;
      const id = `${place.pod}-${count}`;
      await scheduleOne(place, timer, id);
      if (random.chance(0.25)) {
        await pace(random.int(0, 700), place.quiet);
        await cancelOne(place, timer, id);
      } else if (random.chance(0.15)) await scheduleOne(place, timer, id);
      await pace(random.int(5, 60), place.quiet);
    }
  };
  await Promise.all([asks(), asks().catch(() => undefined), aborted(place.stopping)]);
  await worker.stop({ graceMs: 1_500 });
  await timer.close();
}

/** Ids that the history says are scheduled, and neither delivered to the end nor cancelled. */
async function owed(bench: Bench): Promise<string[]> {
  const entries = await bench.entries();
  const ended = new Set(notesOf(entries, "timer", "done").map(({ resource }) => resource));
  const wanted = new Set<string>();
  for (const { scenario, call, outcome, resource } of operationsOf(entries)) {
    if (scenario !== "timer") continue;
    if (call === "cancel") ended.add(resource);
    else if (outcome === "ok") wanted.add(resource);
  }
  return [...wanted].filter((id) => !ended.has(id));
}

async function restore(bench: Bench, timer: DurableTimer<Payload>): Promise<void> {
  await pollUntil(
    "reconcile has set again what was lost",
    async () => {
      const asOfMs = await serverTimeMs(bench);
      const ids = await owed(bench);
      const { restored } = await timer.reconcile(
        ids.map((id) => ({ id, afterMs: 0, payload: { behaviour: "plain" as const } })),
        { asOfMs },
      );
      bench.note("reconciled", "timeouts", { restored });
      return true;
    },
    { timeoutMs: atRestWithinMs, intervalMs: 200 },
  );
}

async function settle(bench: Bench): Promise<void> {
  await using timer = new DurableTimer<Payload>(bench.redis, "timeouts", {
    prefix: bench.prefix,
    commandTimeoutMs: benchTimeoutMs,
  });
  if (bench.conditions.forgets) await restore(bench, timer);
  await pollUntil(
    "every timer has fired",
    async () => {
      const { pending, leased } = await timer.stats();
      return pending + leased === 0;
    },
    { timeoutMs: atRestWithinMs, intervalMs: 50 },
    // What is left shows in the findings.
  ).catch(() => undefined);
}

/** What the server says at the end. */
export interface TimerFindings {
  readonly pending: number;
  readonly leased: number;
  /** Ids of the dead letters, and after how many attempts. */
  readonly dead: Readonly<Record<string, number>>;
}

async function inspect(bench: Bench): Promise<TimerFindings> {
  await using timer = new DurableTimer<Payload>(bench.redis, "timeouts", {
    prefix: bench.prefix,
    commandTimeoutMs: benchTimeoutMs,
  });
  const { pending, leased } = await timer.stats();
  const letters = await timer.dead.list({ limit: 10_000 });
  return { pending, leased, dead: Object.fromEntries(letters.map(({ id, attempts }) => [id, attempts])) };
}

async function serverTimeMs(bench: Bench): Promise<number> {
  const [seconds, microseconds] = (await bench.redis.time()) as unknown as [string | number, string | number];
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}

/** The scenario of `@holdfast/timer`. */
export const scenario: Scenario = { name: "timer", work, settle, inspect, check: checkTimer };
