/**
 * One run: three replicas bill the orders of a stream, all of them are replaced while orders come, two of them are killed in the middle of
 * their charges, and then enough time for every message that will ever come again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import { migrate } from "@holdfast/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import { GROUP, openBooks, streamKey } from "./billing.ts";
import { ordersOf, type BillingKind, type Course, type Order } from "./course.ts";
import { readBooks, tally, type Outcome } from "./outcome.ts";
import { PaymentProvider } from "./payment-provider.ts";
import { Replicas, type ReplicaCounts } from "./replicas.ts";

/** What a run found. */
export interface RunResult {
  readonly outcome: Outcome;
  readonly replicas: ReplicaCounts;
  readonly deliveredAgain: number;
  /** Messages that nobody had acknowledged when there was nothing more to wait for. */
  readonly unsettled: number;
}

const REPLICAS = 3;
/** From the first order to the restart. */
const ROLL_AT_MS = 500;
const LOOK_EVERY_MS = 100;
/** Besides the time after which messages come again: reached by what is never acknowledged, not by what a busy machine delays. */
const SETTLE_MAX_MS = 60_000;

/** Runs the course with one kind of billing. Leaves no process behind; database and keys stay, for who wants to look. */
export function runCourse(kind: BillingKind, course: Course, stage: Stage): Promise<RunResult> {
  return withPods(stage, (pods) => runBilling(kind, course, stage, pods));
}

async function runBilling(kind: BillingKind, course: Course, stage: Stage, pods: StagePods): Promise<RunResult> {
  const { scale } = course;
  const databaseUrl = await stage.servers.database(`redelivery_${kind}`);
  const prefix = stage.servers.prefix(`redelivery-${kind}`);
  const { url: redisUrl } = await stage.servers.redis();
  await using stack = new AsyncDisposableStack();
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  stack.defer(() => pool.end());
  const redis = new Redis(redisUrl);
  stack.defer(() => redis.disconnect());
  const provider = stack.use(await PaymentProvider.start());
  await openBooks(pool);
  if (kind === "once") await migrate(pool);
  const stream = streamKey(prefix);
  await redis.xgroup("CREATE", stream, GROUP, "0", "MKSTREAM");
  const replicas = new Replicas({
    settings: {
      kind,
      databaseUrl,
      redisUrl,
      prefix,
      providerUrl: provider.url,
      takeOverAfterMs: scale.takeOverAfterMs,
      leaseMs: scale.leaseMs,
    },
    pods,
    graceMs: scale.graceMs,
    redis,
    provider,
    signal: stage.signal,
    say: (line) => stage.say(`  ${kind}: ${line}`),
  });
  await replicas.add(REPLICAS, 1);
  stage.say(`  ${kind}: ${REPLICAS} replicas are ready`);
  const orders: Order[] = [];
  const board = setInterval(() => {
    stage.show([
      `  ${kind}: ${replicas.names().join(" · ")}`,
      `    ${orders.length} orders · ${provider.bookings.length} charges · ${replicas.deliveredAgain()} messages delivered again`,
    ]);
  }, LOOK_EVERY_MS);
  stack.defer(() => clearInterval(board));
  await restartUnderTraffic(replicas, (isOver) => place(redis, stream, course, orders, isOver, stage.signal));
  stage.say(`  ${kind}: the last order is placed; waiting for the messages that come again`);
  const unsettled = await settled(redis, stream, scale.takeOverAfterMs + SETTLE_MAX_MS, stage.signal);
  await replicas.stop();
  return {
    outcome: tally(orders, provider.bookings, provider.recognised, await readBooks(pool)),
    replicas: replicas.counts,
    deliveredAgain: replicas.deliveredAgain(),
    unsettled,
  };
}

/** Replaces all replicas while orders come. Both have ended when it settles. */
async function restartUnderTraffic(replicas: Replicas, place: (isOver: () => boolean) => Promise<void>): Promise<void> {
  let rolled = false;
  const restart = sleep(ROLL_AT_MS)
    .then(() => replicas.roll(2))
    .finally(() => {
      rolled = true;
    });
  for (const end of await Promise.allSettled([restart, place(() => rolled)]))
    if (end.status === "rejected") throw end.reason;
}

/** Places orders at a steady pace, until the restart is over, and `ordersMin` at least. */
async function place(
  redis: Redis,
  stream: string,
  course: Course,
  orders: Order[],
  isOver: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const { ordersMin, burst, spacingMs } = course;
  const customers = ordersOf(course);
  while (orders.length < ordersMin || !isOver()) {
    const together = Array.from({ length: burst }, () => customers.next().value);
    await Promise.all(
      together.map(({ id, amountCents }) => redis.xadd(stream, "*", "order", id, "amountCents", amountCents)),
    );
    orders.push(...together);
    await sleep(spacingMs, undefined, { signal });
  }
}

/** Waits until every message is acknowledged; resolves to the number of those that are not when the time is over. */
async function settled(redis: Redis, stream: string, timeoutMs: number, signal: AbortSignal): Promise<number> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const [group] = (await redis.xinfo("GROUPS", stream)) as (string | number)[][];
    const field = (name: string): number => Number(group?.[group.indexOf(name) + 1] ?? 0);
    const open = field("pending") + field("lag");
    if (open === 0 || performance.now() > endMs) return open;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}
