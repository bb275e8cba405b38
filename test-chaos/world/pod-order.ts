/** What a pod is told when it starts; crosses as JSON. */
import type { Values } from "../history/event.ts";
import type { Conditions } from "../history/record.ts";
import type { Address, RedisPlan } from "./client.ts";

/** One life of a pod. */
export interface PodOrder {
  /** `pod-1.3`: the third life of the second pod. */
  readonly pod: string;
  readonly seed: string;
  readonly historyPath: string;
  /** Addresses of the modules with its scenarios. */
  readonly modules: readonly string[];
  readonly redis: RedisPlan;
  readonly ledger: Address;
  readonly prefix: string;
  readonly conditions: Conditions;
  /** What each scenario's `prepare` returned. */
  readonly given: Readonly<Record<string, Values>>;
}
