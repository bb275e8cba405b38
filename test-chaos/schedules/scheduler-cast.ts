/**
 * A recurring job by schedule: a replica in every actor, which can be deployed in another version, handlers that end when the schedule says
 * so, and what an operator asks for.
 */
import { Scheduler } from "@holdfast/scheduler";
import type { Run, SchedulerEvent } from "@holdfast/scheduler";
import { pollUntil } from "@holdfast/testkit";
import { checkStagedScheduler, lastRequest, rhythmMs } from "../checkers/staged-scheduler.ts";
import { job, scenario, schedulerName } from "../scenarios/scheduler.ts";
import type { Bench, Scenario } from "../scenarios/scenario.ts";
import type { Workplace } from "../scenarios/workplace.ts";
import type { Cast } from "./cast.ts";
import { readClock } from "./read-clock.ts";

const leaseMs = 10_000;
const pollMs = 1_000;
/** What is under way when the schedule is over has so long in real time. */
const settlesWithinMs = 60_000;

const settings = {
  missed: "all",
  overlap: "queue",
  atMostMs: 25_000,
  attemptsMax: 100,
  backoff: { baseMs: 50, delayMaxMs: 100 },
} as const;

type Verb = "run-now" | "pause" | "resume";

/** A handler that waits for the schedule. */
interface Gate {
  readonly token: number;
  readonly go: (fails: boolean) => void;
}

async function settle(bench: Bench): Promise<void> {
  const nowMs = await readClock(bench, job);
  await using operator = new Scheduler(bench.redis, schedulerName, { prefix: bench.prefix, historyMax: 1_000 });
  await operator.runNow(job, { operationId: lastRequest });
  // Every actor has resumed the job long before: this one was due for somebody.
  const latest = new Date(Math.floor(nowMs / rhythmMs) * rhythmMs).toISOString();
  await pollUntil(
    "what is due and what was asked for is on record",
    async () => {
      const { runs } = await operator.history(job);
      const recorded = new Set(runs.map(({ occurrenceId }) => occurrenceId));
      return recorded.has(latest) && recorded.has(`now-${lastRequest}`);
    },
    { timeoutMs: settlesWithinMs, intervalMs: 20 },
    // What is missing shows in the findings.
  ).catch(() => undefined);
}

const staged: Scenario = {
  ...scenario,
  prepare: async (bench) => void (await readClock(bench, job)),
  settle,
  check: checkStagedScheduler,
};

/** An event of one run. */
type OfRun = Extract<SchedulerEvent, { readonly token: number }>;

/** One replica after another, as deployments bring them. */
class Replica {
  private readonly place: Workplace;
  private readonly open: (version: number, act: (run: Run) => Promise<void>) => Scheduler;
  private readonly gates: Gate[] = [];
  private readonly over = new Map<number, PromiseWithResolvers<void>>();
  private scheduler: Scheduler | undefined;
  private latest: { readonly verb: Verb; readonly operation: string } | undefined;
  private resting = false;

  constructor(place: Workplace, clock: Parameters<Cast["enter"]>[1]) {
    this.place = place;
    this.open = (version, act) =>
      new Scheduler(place.redis, schedulerName, {
        prefix: place.prefix,
        runner: place.pod,
        leaseMs,
        pollMs,
        historyMax: 1_000,
        clock,
        random: place.random,
        onEvent: (event) => {
          if (event.type === "defined") place.note("defined", job, { version: event.version });
          else if ("token" in event && event.type !== "started") this.isOver(event);
        },
      }).job(job, { ...settings, version, everyMs: version % 2 === 0 ? rhythmMs / 2 : rhythmMs }, act);
  }

  private isOver({ type, token, occurrenceId, attempt }: OfRun): void {
    const over = this.over.get(token);
    // Its lease was over before its handler could begin.
    if (over === undefined && type === "lost") this.place.note("not-begun", occurrenceId, { attempt });
    over?.resolve();
  }

  /** Another version takes the place of the one before, whose handlers are cut off. */
  async deploy(version: number): Promise<void> {
    void this.scheduler?.stop({ graceMs: 0 });
    this.place.note("joined", job, { version });
    this.scheduler = this.open(version, (run) => this.handle(run));
    await this.scheduler.start();
  }

  async end(fails: boolean): Promise<void> {
    const gate = this.gates.shift();
    gate?.go(fails);
    await this.over.get(gate?.token ?? 0)?.promise;
  }

  ask(verb: Verb): Promise<void> {
    this.latest = { verb, operation: this.place.random.id() };
    return this.again();
  }

  /** As a caller does that has not heard its answer. */
  async again(): Promise<void> {
    const { scheduler, latest } = this;
    if (scheduler === undefined || latest === undefined) return;
    const { verb, operation } = latest;
    const options = { operationId: operation };
    await this.place.call(
      { call: verb, resource: job, operation },
      (): Promise<{ readonly kind: string }> => {
        if (verb === "run-now") return scheduler.runNow(job, options);
        return verb === "pause" ? scheduler.pause(job, options) : scheduler.resume(job, options);
      },
      ({ kind }) => ({ kind }),
    );
  }

  /** Nothing waits for the schedule any more, and nobody keeps the job paused. */
  async rest(): Promise<void> {
    for (const { go } of this.gates.splice(0)) go(false);
    if (this.resting) return;
    this.resting = true;
    await this.ask("resume");
  }

  vanish(): void {
    this.gates.splice(0);
    void this.scheduler?.stop({ graceMs: 0 });
  }

  private async handle({ occurrenceId, attempt, token, scheduledForMs, version, signal }: Run): Promise<void> {
    this.over.set(token, Promise.withResolvers());
    this.place.note("began", occurrenceId, { attempt, token, scheduledForMs, version });
    const fails = this.resting ? false : await new Promise<boolean>((go) => this.gates.push({ token, go }));
    if (fails) throw new Error("as the schedule says");
    this.place.note("ended", occurrenceId, { attempt, token, aborted: signal.aborted });
  }
}

/** The job on the stage. */
export const schedulerCast: Cast = {
  name: "scheduler",
  actions: ["finish", "fail", "run-now", "pause", "resume", "again", "deploy-1", "deploy-2", "deploy-3"],
  pinned: [
    "1.freeze 2.freeze +11000 0.freeze 1.thaw 2.thaw +11000 0.finish 1.finish 2.finish 0.thaw",
    "+11000 0.crash 1.crash 2.crash +11000 0.finish 1.finish 2.finish",
    "0.pause 0.run-now +1000 0.finish 1.finish 2.finish 0.resume",
    // Whatever is sent until the handler begins is sent twice.
    `1.freeze 2.freeze ${"0.next!twice ".repeat(12)}+11000 0.finish`,
    // The third script of a deployment is the one that defines.
    "1.next!twice 1.next!twice 1.next!late 1.deploy-2 0.deploy-3 deliver +1000",
    "0.freeze 1.freeze 2.freeze +11000 0.deploy-2 0.thaw 1.thaw 2.thaw +1000 0.finish 1.finish 2.finish",
    "0.deploy-3 1.deploy-2 2.deploy-1 +11000 0.crash 1.finish 2.finish +11000 1.finish 2.finish",
    "0.freeze 1.freeze 2.freeze +11000 +11000 +11000 0.thaw 1.thaw 2.thaw 0.finish 1.finish 2.finish",
    "0.freeze 1.freeze 2.freeze +11000 0.pause 0.thaw 1.thaw 2.thaw +4000 0.resume",
    "0.run-now!lose 0.again 0.run-now!late +4000 deliver 0.again 0.finish 1.finish 2.finish",
    "0.pause!late +1000 1.resume deliver +11000 0.finish 1.finish 2.finish",
    "+11000 0.finish!lose 1.finish!lose 2.finish!lose +11000 0.fail 1.fail 2.fail +1000 0.finish 1.finish 2.finish",
  ],
  scenario: staged,
  restMs: 11_000,
  rhythmMs,
  enter: async (place, clock) => {
    const replica = new Replica(place, clock);
    await replica.deploy(1);
    return {
      act: async (action) => {
        if (action === "finish" || action === "fail") await replica.end(action === "fail");
        else if (action === "again") await replica.again();
        else if (action === "rest") await replica.rest();
        else if (action.startsWith("deploy-")) await replica.deploy(Number(action.slice(7)));
        else await replica.ask(action as Verb);
      },
      vanish: () => replica.vanish(),
    };
  },
};
