/**
 * Owns what is known about one side when its last request has been answered.
 */
import type { ShopFigures } from "./shop-pod.ts";
import type { TrafficFigures } from "./traffic.ts";

/** What the dependency has seen. */
export interface RecommenderFigures {
  readonly working: number;
  readonly mostAtOnce: number;
  /** Requests whose client went away before the answer. */
  readonly abandoned: number;
}

/** One side. */
export interface Outcome {
  readonly traffic: TrafficFigures;
  /** When everything had ended. */
  readonly shop: ShopFigures;
  readonly recommender: RecommenderFigures;
  /** Subtasks that ran when the last answer had gone and its grace was over. */
  readonly runningAtTheEnd: number;
  /** From the last answer to the end of the last subtask, in milliseconds. */
  readonly afterLastAnswerMs: number;
  /** The longest time for which the process did not run that has sent the requests. */
  readonly customersStoodStillMs: number;
}

/** Subtasks that ran after their request and that the service knows by name. */
export function knownOf({ shop }: Outcome): number {
  return Object.values(shop.known).reduce((sum, count) => sum + count, 0);
}
