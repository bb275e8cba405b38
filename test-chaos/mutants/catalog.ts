/**
 * Bugs that the suite has to notice. Each is a patch, most of them those by which the packages' own tests are tried; the others lie beside
 * this file. None of them is ever in the product: they are applied to a copy.
 */

/** Where a bug is looked for. */
export type Hunt =
  /** Schedules of one primitive: layer 1. */
  | {
      readonly layer: 1;
      readonly cast: "lock" | "timer" | "idempotency" | "inventory" | "scheduler";
      readonly runs?: number;
    }
  /** A round with real pods: layer 2. */
  | {
      readonly layer: 2;
      readonly only: string;
      readonly nemeses?: string;
      readonly ground?: "solid" | "forgets" | "steps-clock";
      readonly topology?: "single" | "sentinel" | "cluster";
    };

/** A planted bug. */
export interface ChaosMutant {
  /** From the root of the repository. */
  readonly patch: string;
  /** Tried in their order until one notices. */
  readonly hunts: readonly Hunt[];
}

function planted(packageName: string, hunts: readonly Hunt[], ...names: readonly string[]): ChaosMutant[] {
  return names.map((name) => ({ patch: `packages/${packageName}/test/mutants/${name}.patch`, hunts }));
}

function own(hunts: readonly Hunt[], ...names: readonly string[]): ChaosMutant[] {
  return names.map((name) => ({ patch: `test-chaos/mutants/${name}.patch`, hunts }));
}

const locks: Hunt = { layer: 1, cast: "lock" };
const timers: Hunt = { layer: 1, cast: "timer" };
const keys: Hunt = { layer: 1, cast: "idempotency" };
const stock: Hunt = { layer: 1, cast: "inventory" };
const jobs: Hunt = { layer: 1, cast: "scheduler" };
const holders: Hunt = { layer: 2, only: "lock", nemeses: "pause-short,reset" };
const quorums: Hunt = { layer: 2, only: "quorum", nemeses: "pause-short,pause-long" };
const lockSteps: Hunt = { layer: 2, only: "lock", ground: "steps-clock", nemeses: "clock-back,clock-forward" };
const timerPods: Hunt = {
  layer: 2,
  only: "timer",
  nemeses: "pod-clock,kill,redis-restart,out-of-memory,reset,lose-replies",
};
const keyPods: Hunt = {
  layer: 2,
  only: "idempotency",
  nemeses: "block-loop,kill,pause-long,swallow-reply,redis-freeze",
};
const keyRenewals: Hunt = { layer: 2, only: "idempotency", nemeses: "pause-short" };
const keySteps: Hunt = { layer: 2, only: "idempotency", ground: "steps-clock", nemeses: "clock-back" };
const jobPods: Hunt = {
  layer: 2,
  only: "scheduler",
  nemeses: "kill,pause-long,swallow-reply,repeat-request,redis-restart,redis-freeze",
};
const permitPods: Hunt = { layer: 2, only: "bulkhead", nemeses: "pause-short,reset,repeat-request,script-flush" };
const fencePods: Hunt = { layer: 2, only: "postgres", nemeses: "pause-long,block-loop,collect" };
const databasePods: Hunt = {
  layer: 2,
  only: "postgres",
  nemeses: "pause-long,kill,swallow-reply,redis-restart,redis-freeze",
};
const scopePods: Hunt = { layer: 2, only: "scope", nemeses: "pause-short,block-loop" };

/** All of them. */
export const chaosMutants: readonly ChaosMutant[] = [
  ...own([timers], "never-too-late"),
  ...own([lockSteps], "token-is-time"),
  ...own([locks], "fence-not-written-back", "guard-asks-first"),
  ...own([holders], "renewal-never-stops"),
  ...own([stock], "sold-without-entry"),
  ...own([timerPods], "claimed-early"),
  ...own([keyPods], "payload-not-compared"),
  ...own([permitPods], "share-without-limit", "rejections-feed-breaker"),
  ...own([databasePods], "outbox-outside-transaction"),
  ...planted(
    "lock",
    [locks],
    "guard-lets-lower-through",
    "guard-runs-twice",
    "release-any-owner",
    "renew-any-owner",
    "token-counts",
  ),
  ...planted("lock", [quorums], "quorum-no-commit-wait"),
  ...planted(
    "timer",
    [timers],
    "no-token-check",
    "no-tombstone",
    "no-not-after",
    "no-lease-reap",
    "remove-before-acknowledge",
    "no-generation-check",
    "non-idempotent-schedule",
    "claim-not-repeatable",
    "hint-only-wake-up",
    "growth-first",
  ),
  ...planted("timer", [timerPods], "client-clock"),
  ...planted(
    "idempotency",
    [keys],
    "crash-is-no-effect",
    "late-complete-overwrites",
    "throw-is-no-effect",
    "claim-owner-per-send",
    "downstream-key-per-attempt",
    "timeout-releases",
    "finish-by-anybody",
    "late-throw-frees",
    "complete-sent-once",
    "too-late-is-done",
  ),
  ...planted("idempotency", [keyRenewals], "lease-not-renewed"),
  ...planted("idempotency", [keySteps], "token-by-clock"),
  ...planted("inventory", [stock], "id-not-first", "no-is-forgotten", "released-twice", "no-seal", "busy-is-no"),
  ...planted("scheduler", [jobs, jobPods], "admit-without-compare-and-set"),
  ...planted(
    "scheduler",
    [jobs],
    "attempt-per-request",
    "finish-by-anybody",
    "head-not-woken",
    "lower-version-wins",
    "started-is-missed",
  ),
  ...planted("bulkhead", [permitPods], "timeout-frees-permit", "abort-reaches-breaker"),
  ...planted("postgres", [fencePods], "stale-passes", "refusal-without-raise"),
  ...planted("postgres", [databasePods], "removed-before-told"),
  ...planted("scope", [scopePods], "child-outlives-deadline", "zombie-waited-for", "zombies-uncounted"),
];
