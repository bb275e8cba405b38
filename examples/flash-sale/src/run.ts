/**
 * One run: three replicas of one kind of shop, the buyers, one replica killed in the middle, and then the count.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { STARTS_WITHIN, withPods, type Stage, type StagePods } from "@holdfast-examples/stage";
import { applyMovements, migrate } from "@holdfast/postgres";
import type { Pod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import pg from "pg";
import { planBuyers } from "./buyers-plan.ts";
import { SKU, type Course, type ShopKind } from "./course.ts";
import { Crowd, type CrowdCounts } from "./crowd.ts";
import { saleInventory } from "./holdfast-shop.ts";
import { createOrders } from "./orders.ts";
import { outcomeOf, readBuyers, readLedger, type LedgerFindings, type Outcome } from "./outcome.ts";
import type { ReplicaSettings } from "./replica-pod.ts";
import { counterKey } from "./shop.ts";
import { ShopClient } from "./shop-client.ts";

/** What a run found. */
export interface RunResult {
  readonly kind: ShopKind;
  readonly outcome: Outcome;
  readonly counts: CrowdCounts;
  /** Requests that were sent again. */
  readonly repeats: number;
  /** Whether a replica was killed while the sale went on. */
  readonly killed: boolean;
}

/** What a run stands on. */
interface Ground {
  readonly kind: ShopKind;
  readonly prefix: string;
  readonly redis: Redis;
  readonly pool: pg.Pool;
  readonly databaseUrl: string;
}

const REPLICAS = 3;
const PROGRAM = new URL("replica-pod.ts", import.meta.url);
const LOOK_EVERY_MS = 100;
const STOP_GRACE_MS = 3_000;

/** Runs the sale in one kind of shop. Leaves no process behind; the database stays, for who wants to look. */
export function runCourse(kind: ShopKind, course: Course, stage: Stage): Promise<RunResult> {
  return withPods(stage, (pods) => runSale(kind, course, stage, pods));
}

async function runSale(kind: ShopKind, course: Course, stage: Stage, started: StagePods): Promise<RunResult> {
  const { url } = await stage.servers.redis();
  const databaseUrl = await stage.servers.database(`flash_sale_${kind.replace("-", "_")}`);
  const redis = new Redis(url);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  for (const each of [redis, pool]) {
    each.on("error", (error: Error) => stage.say(`  ${kind}: a connection was lost: ${error.message}`));
  }
  try {
    const ground = { kind, prefix: stage.servers.prefix(`flash-sale-${kind}`), redis, pool, databaseUrl };
    await putOnShelf(ground, course);
    const pods = await startReplicas(started, { ...ground, url }, course);
    const urls = await Promise.all(pods.map((pod) => pod.ready<string>(STARTS_WITHIN)));
    const client = new ShopClient(urls);
    const crowd = new Crowd(client, course);
    await client.open();
    const killed = await sell(crowd, pods, kind, course, stage).finally(() => client.close());
    await Promise.all(pods.map((pod) => pod.term(STOP_GRACE_MS)));
    const outcome = await count(ground, course, crowd.counts);
    return { kind, outcome, counts: crowd.counts, repeats: client.repeats, killed };
  } finally {
    redis.disconnect();
    await pool.end();
  }
}

async function putOnShelf({ kind, prefix, redis, pool }: Ground, { units, holdMs }: Course): Promise<void> {
  await createOrders(pool);
  if (kind !== "holdfast") {
    await redis.set(counterKey(prefix), units);
    return;
  }
  await migrate(pool);
  const lines = [{ sku: SKU, quantity: units }];
  await saleInventory(redis, prefix, holdMs).restock({ operationId: "delivery-1", lines });
}

function startReplicas(
  started: StagePods,
  { kind, prefix, databaseUrl, url }: Ground & { readonly url: string },
  { holdMs, chargeMs }: Course,
): Promise<Pod[]> {
  const settings: ReplicaSettings = { kind, prefix, holdMs, chargeMs, redisUrl: url, databaseUrl };
  const env = { REPLICA: JSON.stringify(settings) };
  return Promise.all(Array.from({ length: REPLICAS }, () => started.start(PROGRAM, env)));
}

/** Resolves to whether a replica was killed meanwhile. */
async function sell(
  crowd: Crowd,
  pods: readonly Pod[],
  kind: ShopKind,
  course: Course,
  stage: Stage,
): Promise<boolean> {
  const over = new AbortController();
  const startMs = performance.now();
  let killed = false;
  const watching = (async () => {
    while (!over.signal.aborted) {
      stage.show(boardOf(kind, performance.now() - startMs, crowd.counts, course));
      if (!killed && crowd.counts.bought.size >= course.killAfterSold) {
        killed = true;
        stage.say(`  ${kind}: a replica is killed, ${crowd.counts.bought.size} buyers have paid`);
        await pods[1]?.kill();
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  try {
    await crowd.run(planBuyers(stage.seed, course), stage.signal);
  } finally {
    over.abort();
    await watching;
    stage.show([]);
  }
  return killed;
}

function boardOf(kind: ShopKind, elapsedMs: number, counts: CrowdCounts, { units, buyers }: Course): string[] {
  const { arrived, carts, abandoned, bought, waiting, without } = counts;
  return [
    `  ${kind}, ${(elapsedMs / 1_000).toFixed(1)} s`,
    `    buyers  ${arrived} of ${buyers} have come · ${waiting} wait for returned units · ${without} left without`,
    `    units   ${bought.size} of ${units} paid · ${carts} put in carts · ${abandoned} carts abandoned`,
  ];
}

async function count({ kind, prefix, redis, pool }: Ground, course: Course, counts: CrowdCounts): Promise<Outcome> {
  let onShelf = 0;
  let ledger: LedgerFindings | null = null;
  if (kind === "holdfast") {
    await using stock = saleInventory(redis, prefix, course.holdMs);
    ({ available: onShelf } = await stock.level(SKU));
    // The replicas are gone, wherever they were with it.
    await applyMovements(pool, stock);
    ledger = await readLedger(pool, stock);
  } else {
    onShelf = Number(await redis.get(counterKey(prefix)));
  }
  return outcomeOf(course.units, await readBuyers(pool), counts, onShelf, ledger);
}
