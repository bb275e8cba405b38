/** What a scheduler tells observers, on `onEvent` and on the channel `holdfast:scheduler`. */

interface OfJob {
  /** Name of the scheduler. */
  readonly scheduler: string;
  readonly job: string;
}

interface OfRun extends OfJob {
  readonly occurrenceId: string;
  readonly attempt: number;
  readonly token: number;
}

/** One thing that happened. */
export type SchedulerEvent =
  | (OfJob & { readonly type: "defined"; readonly version: number })
  /** This replica's definition is older than the one on record, which counts. If this is a rollback, its version has to be raised. */
  | (OfJob & {
      readonly type: "outdated";
      readonly version: number;
      readonly versionStored: number;
      readonly advice: string;
    })
  /** This replica's definition differs from the one on record with the same version, which counts. */
  | (OfJob & { readonly type: "conflict"; readonly version: number; readonly advice: string })
  | (OfJob & { readonly type: "removed"; readonly version: number })
  | (OfJob & { readonly type: "missed"; readonly firstMs: number; readonly lastMs: number; readonly count: number })
  | (OfJob & { readonly type: "skipped"; readonly occurrenceId: string })
  | (OfJob & { readonly type: "caught-up"; readonly count: number })
  | (OfRun & { readonly type: "started"; readonly scheduledForMs: number })
  | (OfRun & { readonly type: "completed"; readonly durationMs: number })
  | (OfRun & {
      readonly type: "attempt-failed";
      readonly durationMs: number;
      readonly error: unknown;
      readonly retryInMs: number;
    })
  | (OfRun & { readonly type: "failed"; readonly why: "threw" | "overran" | "crashed"; readonly error: unknown })
  /** The run has ended, or was about to begin, after its lease: its outcome was not recorded. */
  | (OfRun & { readonly type: "lost" })
  | (OfJob & { readonly type: "trouble"; readonly during: "plan" | "begin" | "finish"; readonly error: unknown });

/** The channel of node:diagnostics_channel. */
export const schedulerChannel = "holdfast:scheduler";
