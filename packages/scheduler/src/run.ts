/** One attempt at an occurrence: what the handler gets, and how long it may take (C3). */
import { deadlineListOf, onAbort } from "@holdfast/core";
import type { AbortRegistration, Clock, DeadlineEntry, Fenced } from "@holdfast/core";
import { RunLostError, RunOverranError } from "./errors.ts";

/** What a handler gets. */
export interface Run extends Fenced {
  readonly job: string;
  /**
   * The same in every attempt: the time for which it was planned, `2026-03-29T01:00:00.000Z`, or `now-…` for one asked for by hand. Unique
   * within the job.
   */
  readonly occurrenceId: string;
  /** When it was due, in epoch milliseconds on the server's clock. */
  readonly scheduledForMs: number;
  /** 1 for the first. */
  readonly attempt: number;
  /** Of the definition that counts. On an older replica it is higher than the version given to its `job()`. */
  readonly version: number;
  /** Namespaced for guards: `scheduler:billing/end-of-day`. */
  readonly resource: string;
  /** Grows with each attempt at any occurrence of the job: a resource that remembers the highest refuses a runner that was overtaken. */
  readonly token: number;
  /** Aborts when the run is no longer this process's: with a RunOverranError after `atMostMs`, otherwise with a RunLostError. */
  readonly signal: AbortSignal;
}

/** What runs when an occurrence is due. Runs at least once per occurrence; its effects must be safe to repeat. */
export type RunHandler = (run: Run) => unknown;

/** How an attempt ended. */
export type Attempted =
  | { readonly kind: "done"; readonly durationMs: number }
  | { readonly kind: "threw"; readonly durationMs: number; readonly error: unknown }
  | { readonly kind: "overran"; readonly durationMs: number; readonly error: RunOverranError };

/** Runs the handler, for `atMostMs` from `sinceMs` on at most. A handler that goes on after that is not waited for. */
export async function attempt(
  clock: Clock,
  handler: RunHandler,
  details: Omit<Run, "signal">,
  limits: { readonly atMostMs: number; readonly sinceMs: number; readonly lease: AbortSignal },
): Promise<Attempted> {
  const { resource, occurrenceId, token } = details;
  const { atMostMs, sinceMs, lease } = limits;
  const controller = new AbortController();
  const onLost = (): void => controller.abort(new RunLostError(resource, occurrenceId, token, { cause: lease.reason }));
  let registration: AbortRegistration | undefined;
  if (lease.aborted) onLost();
  else registration = onAbort(lease, onLost);
  let deadline: DeadlineEntry | undefined;
  const overrun = new Promise<Attempted>((resolve) => {
    deadline = deadlineListOf(clock, atMostMs).add(() => {
      const error = new RunOverranError(resource, occurrenceId, atMostMs);
      controller.abort(error);
      resolve({ kind: "overran", durationMs: Math.round(clock.monotonicMs() - sinceMs), error });
    }, sinceMs);
  });
  const work = (async (): Promise<Attempted> => {
    try {
      await handler({ ...details, signal: controller.signal });
    } catch (error) {
      return { kind: "threw", durationMs: Math.round(clock.monotonicMs() - sinceMs), error };
    }
    const durationMs = Math.round(clock.monotonicMs() - sinceMs);
    // No timer may have run while the handler kept the loop busy.
    if (durationMs > atMostMs)
      return { kind: "overran", durationMs, error: new RunOverranError(resource, occurrenceId, atMostMs) };
    return { kind: "done", durationMs };
  })();
  try {
    return await Promise.race([work, overrun]);
  } finally {
    deadline?.cancel();
    registration?.cancel();
  }
}
