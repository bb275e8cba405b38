/** What can go wrong with runs beyond what all primitives share. Expected outcomes are values, not errors. */
import { HoldfastError } from "@holdfast/core";

/** A run took longer than `atMostMs`; the reason of its signal. The occurrence is run again while attempts last. */
export class RunOverranError extends HoldfastError {
  override readonly name = "RunOverranError";
  readonly code = "SCHEDULER_RUN_OVERRAN";
  readonly effect = "possible";
  readonly resource: string;
  readonly occurrenceId: string;
  readonly atMostMs: number;

  constructor(resource: string, occurrenceId: string, atMostMs: number) {
    super(
      `${resource} ${occurrenceId}: the run took longer than atMostMs (${atMostMs} ms) and is no longer this process's; stop, and raise atMostMs if runs take that long`,
    );
    this.resource = resource;
    this.occurrenceId = occurrenceId;
    this.atMostMs = atMostMs;
  }
}

/** Another process may run the occurrence by now, or nobody shall: the reason of a run's signal. */
export class RunLostError extends HoldfastError {
  override readonly name = "RunLostError";
  readonly code = "SCHEDULER_RUN_LOST";
  readonly effect = "possible";
  readonly resource: string;
  readonly occurrenceId: string;
  readonly token: number;

  constructor(resource: string, occurrenceId: string, token: number, options?: ErrorOptions) {
    super(
      `${resource} ${occurrenceId}: the run with token ${token} is no longer this process's; stop, and write only where the token is checked`,
      options,
    );
    this.resource = resource;
    this.occurrenceId = occurrenceId;
    this.token = token;
  }
}

/** The record of a job went on changing while a call looked at it. Nothing was done. */
export class JobChangingError extends HoldfastError {
  override readonly name = "JobChangingError";
  readonly code = "SCHEDULER_JOB_CHANGING";
  readonly effect = "none";
  readonly resource: string;

  constructor(resource: string) {
    super(`${resource}: nothing was done, since others went on changing the job meanwhile; try again`);
    this.resource = resource;
  }
}
