/** A worker that loses its lease, for several test files. */
import type { Attempt, IdempotencyEvent } from "../src/index.ts";
import { gate, uniqueName } from "./fixture.ts";
import type { Bench } from "./fixture.ts";

/** An attempt whose lease has run out because its process could not reach Redis, and another that took over. */
export async function overtaken(
  on: Bench,
  options: { leaseMs?: number } = {},
): Promise<{
  name: string;
  late: ReturnType<typeof gate<string>>;
  lateRun: Promise<unknown>;
  lateAttempt: () => Attempt;
  events: IdempotencyEvent[];
  heal: () => Promise<void>;
}> {
  const { leaseMs = 400 } = options;
  const name = uniqueName();
  const events: IdempotencyEvent[] = [];
  const { proxy, redis } = await on.proxied();
  const first = on.idempotency(
    { leaseMs, commandTimeoutMs: 1_000, onEvent: (event) => events.push(event) },
    redis,
    name,
  );
  const late = gate<string>();
  let attempt: Attempt | undefined;
  const lateRun = first.run("k", (given) => {
    attempt = given;
    return late.handler();
  });
  lateRun.catch(() => undefined);
  await Promise.race([late.entered, lateRun]);
  proxy.blackhole();
  return {
    name,
    late,
    lateRun,
    lateAttempt: () => attempt as Attempt,
    events,
    heal: () => proxy.heal({ held: "drop" }),
  };
}
