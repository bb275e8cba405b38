/** Writes histories by hand, for tests of the checkers: a clock that ticks with every entry, calls with an answer, notes. */
import type { Verdict } from "../checkers/verdict.ts";
import type { ChaosEntry, ChaosEvent, Outcome, Values } from "../history/event.ts";
import { recordOf } from "../history/record.ts";
import type { Conditions, RoundRecord } from "../history/record.ts";

const tickMs = 10;

/** Conditions under which every promise counts. */
export const solid: Conditions = { topology: "single", forgets: false, stepsClock: false, healedWithinMs: 100 };

/** One history, in the order in which it is told. */
export class Story {
  private readonly entries: ChaosEntry[] = [];
  private readonly scenario: string;
  private nowMs = 1_000;
  private turns = 0;

  constructor(scenario: string) {
    this.scenario = scenario;
  }

  /** Lets time pass, in milliseconds. */
  wait(ms: number): this {
    this.nowMs += ms;
    return this;
  }

  get atMs(): number {
    return this.nowMs;
  }

  add(event: ChaosEvent, process = "pod-1.1"): this {
    this.nowMs += tickMs;
    this.entries.push({ ...event, atMs: this.nowMs, process, index: this.entries.length });
    return this;
  }

  note(what: string, resource: string, values: Values = {}, process?: string): this {
    return this.add({ kind: "noted", scenario: this.scenario, what, resource, values }, process);
  }

  /** A call and its answer, right after one another. */
  call(
    call: string,
    resource: string,
    operation: string,
    answer: Values = {},
    more: { readonly outcome?: Outcome; readonly asked?: Values; readonly process?: string } = {},
  ): this {
    const answered = this.ask(call, resource, operation, more.asked, more.process);
    return answered(more.outcome ?? "ok", answer);
  }

  /** A call whose answer comes when the returned function is called. */
  ask(
    call: string,
    resource: string,
    operation: string,
    values: Values = {},
    process?: string,
  ): (outcome: Outcome, answer?: Values) => this {
    this.turns += 1;
    const turn = this.turns;
    const { scenario } = this;
    this.add({ kind: "asked", scenario, call, resource, operation, turn, values }, process);
    return (outcome, answer = {}) => this.add({ kind: outcome, scenario, turn, values: answer }, process);
  }

  healed(): this {
    return this.add({ kind: "phase", phase: "healed" }, "runner").wait(200);
  }

  /** The whole, as a checker gets it. */
  record(findings: unknown, conditions: Conditions = solid): RoundRecord {
    this.add({ kind: "phase", phase: "finished" }, "runner");
    return recordOf(this.entries, conditions, { [this.scenario]: findings });
  }
}

/** The rules that a history breaks, apart from that too little happened in it. */
export function broken(verdicts: readonly Verdict[]): string[] {
  return verdicts.filter(({ held, rule }) => !held && !rule.startsWith("enough")).map(({ rule }) => rule);
}

/** Whether the history of an implementation that does nothing is refused. */
export function refusesNothing(check: (round: RoundRecord) => readonly Verdict[], scenario: string): boolean {
  const verdicts = check(new Story(scenario).healed().record(undefined));
  return verdicts.some(({ held, rule }) => !held && rule.startsWith("enough"));
}
