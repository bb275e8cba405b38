/**
 * Where a scenario works in a pod: connections through a network that fails, chance that repeats, and a history in which every call is
 * written down before it is made.
 */
import type { History, SeededRandom } from "@holdfast/testkit";
import type { Cluster, Redis } from "ioredis";
import type { ChaosEvent, Values } from "../history/event.ts";
import type { Conditions } from "../history/record.ts";

/** What a call came to. */
export type Called<T> =
  | { readonly outcome: "ok"; readonly value: T }
  | { readonly outcome: "refused" | "unknown"; readonly error: unknown };

/** What is asked. */
export interface Call {
  /** `acquire`, `schedule`, … */
  readonly call: string;
  /** What it is about: the name of a lock, the id of a timer. */
  readonly resource: string;
  /** The operation id; a repeat has the same. */
  readonly operation: string;
  readonly values?: Values;
}

/** What a pod hands to a scenario. */
export interface WorkplaceParts {
  readonly scenario: string;
  readonly pod: string;
  readonly redis: Redis | Cluster;
  readonly ledger: Redis;
  readonly prefix: string;
  readonly random: SeededRandom;
  readonly history: History<ChaosEvent>;
  readonly turn: () => number;
  readonly quiet: AbortSignal;
  readonly stopping: AbortSignal;
  readonly conditions: Conditions;
  readonly given: Values;
}

/** One scenario in one pod. */
export class Workplace {
  /** The name of this life of the pod: `pod-1.3`. */
  readonly pod: string;
  /** To the Redis of the primitives. */
  readonly redis: Redis | Cluster;
  /** To the Redis of the resources. Its network fails, too; the server does not. */
  readonly ledger: Redis;
  readonly prefix: string;
  readonly random: SeededRandom;
  /** Aborts when nothing new shall be asked. */
  readonly quiet: AbortSignal;
  /** Aborts when the pod ends: by a finished run, or by SIGTERM in the middle of one. */
  readonly stopping: AbortSignal;
  readonly conditions: Conditions;
  /** What the scenario's `prepare` returned. */
  readonly given: Values;
  private readonly parts: WorkplaceParts;

  constructor(parts: WorkplaceParts) {
    this.parts = parts;
    this.pod = parts.pod;
    this.redis = parts.redis;
    this.ledger = parts.ledger;
    this.prefix = parts.prefix;
    this.random = parts.random;
    this.quiet = parts.quiet;
    this.stopping = parts.stopping;
    this.conditions = parts.conditions;
    this.given = parts.given;
  }

  /** Writes down something that was seen. It is in the file when this returns. */
  note(what: string, resource: string, values: Values = {}): void {
    this.parts.history.record({ kind: "noted", scenario: this.parts.scenario, what, resource, values });
  }

  /**
   * Makes a call and writes down its beginning and its end.
   * @param fn the call
   * @param answer what of its value goes into the history
   * @returns its value, or its error: an error that says `effect: "none"` is a refusal, any other leaves the outcome unknown
   */
  async call<T>(call: Call, fn: () => Promise<T>, answer: (value: T) => Values = () => ({})): Promise<Called<T>> {
    const { scenario, history } = this.parts;
    const turn = this.parts.turn();
    const { call: name, resource, operation, values = {} } = call;
    history.record({ kind: "asked", scenario, call: name, resource, operation, turn, values });
    try {
      const value = await fn();
      history.record({ kind: "ok", scenario, turn, values: answer(value) });
      return { outcome: "ok", value };
    } catch (error) {
      const outcome = (error as { effect?: unknown } | null)?.effect === "none" ? "refused" : "unknown";
      history.record({ kind: outcome, scenario, turn, values: { error: nameOf(error), why: messageOf(error) } });
      return { outcome, error };
    }
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 200);
}
