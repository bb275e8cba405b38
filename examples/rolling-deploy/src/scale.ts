/**
 * Owns what was shortened. Nobody watches a demo for a minute of silence, so every duration of the deployment is divided by one number;
 * what matters, that a grace period is shorter than a payment timeout, stays as it is in production.
 */

/** The durations of one run, in milliseconds. */
export interface Scale {
  readonly factor: number;
  readonly paymentTimeoutMs: number;
  /** terminationGracePeriodSeconds: from SIGTERM to SIGKILL. */
  readonly terminationGraceMs: number;
  /** What the service takes of that; the rest is for its own end. */
  readonly shutdownGraceMs: number;
  /** How long a terminating replica still gets requests, since load balancers learn late. */
  readonly drainDelayMs: number;
  readonly leaseMs: number;
  readonly reconcileEveryMs: number;
  readonly reconcileMinAgeMs: number;
  /** How long past its time an order may be pending before someone has to look for it. */
  readonly stuckAfterMs: number;
}

const IN_PRODUCTION = {
  paymentTimeoutMs: 60_000,
  terminationGraceMs: 30_000,
  shutdownGraceMs: 25_000,
  drainDelayMs: 5_000,
  leaseMs: 15_000,
  reconcileEveryMs: 30_000,
  reconcileMinAgeMs: 5_000,
  stuckAfterMs: 45_000,
};

/** Production, `factor` times as fast. */
export function scaleOf(factor: number): Scale {
  const shortened = Object.entries(IN_PRODUCTION).map(([name, ms]) => [name, Math.round(ms / factor)] as const);
  return { factor, ...(Object.fromEntries(shortened) as typeof IN_PRODUCTION) };
}

/** What was shortened and to what, for the reader of the figures. */
export function describeScale({ paymentTimeoutMs, terminationGraceMs, leaseMs }: Scale): string {
  const pairs = [
    ["payment timeout", IN_PRODUCTION.paymentTimeoutMs, paymentTimeoutMs],
    ["grace period", IN_PRODUCTION.terminationGraceMs, terminationGraceMs],
    ["lease", IN_PRODUCTION.leaseMs, leaseMs],
  ] as const;
  return `shortened: ${pairs.map(([what, from, to]) => `${what} ${seconds(from)} → ${seconds(to)}`).join(", ")}`;
}

/** `4 s`, `0.3 s`. */
export function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(ms < 1_000 ? 2 : 1))} s`;
}
