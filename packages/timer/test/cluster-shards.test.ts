/** T11 where shards lie on several masters: timers change their node when they change their shard. */
import { pollUntil, RedisCluster, slotOfKey } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { expect, it } from "vitest";
import { DeadLetterError, DurableTimer } from "../src/index.ts";
import { shardKeys } from "../src/keys.ts";
import { Catcher, Gate, requests, serverTimeMs } from "./client.ts";

it("T11 timers, what follows them and dead letters move between 1, 4 and 2 shards of a Cluster, none lost or doubled, and reconcile and redrive find them", async () => {
  await using cluster = await RedisCluster.start({ masters: 3, replicasPerMaster: 0 });
  const client = new Cluster(cluster.addresses);
  client.on("error", () => undefined);
  const name = "moving";
  const timerWith = (shards: number): DurableTimer<{ n: number }> =>
    new DurableTimer<{ n: number }>(client, name, { shards, commandTimeoutMs: 60_000 });
  const hourMs = 3_600_000;
  const pending = requests(1_000, hourMs);

  await using first = timerWith(1);
  await first.scheduleMany(pending);
  await first.scheduleMany(
    ["bad-0", "bad-1", "bad-2", "followed"].map((id) => ({ id, afterMs: 0, payload: { n: 0 } })),
  );
  const running = new Gate();
  const gate = new Gate();
  const burying = first.worker({ leaseMs: 60_000, pollMs: 50 }, async ({ id }) => {
    if (id.startsWith("bad")) throw new DeadLetterError("on purpose");
    running.open();
    await gate.opened;
  });
  await burying.start();
  await running.opened;
  await pollUntil("three are dead", async () => (await first.stats()).dead === 3, { timeoutMs: 60_000 });
  const next = { id: "followed", afterMs: hourMs, payload: { n: 7 } };
  expect(await first.schedule(next)).toMatchObject({ kind: "firing" });
  gate.open();
  await burying.stop({ graceMs: 60_000 });

  const known = new Map<string, number>();
  for (const { id } of [...pending, next]) known.set(id, (await first.get(id))?.generation ?? 0);
  let dead = 3;
  for (const shards of [4, 2]) {
    await using timer = timerWith(shards);
    const keys = Array.from({ length: shards }, (_, shard) => shardKeys("holdfast", name, shard));
    expect(await timer.migrateShards()).toMatchObject({ to: shards });
    const owners = new Set(await Promise.all(keys.map(({ due }) => cluster.masterOf(slotOfKey(due)))));
    expect(owners.size).toBeGreaterThan(1);
    expect(await timer.stats()).toMatchObject({ pending: known.size, leased: 0, dead });
    for (const [id, generation] of known) expect(await timer.get(id)).toMatchObject({ state: "pending", generation });
    // A letter is found where its shard is now, and tried again there.
    expect(await timer.dead.redrive(`bad-${dead - 1}`)).toEqual({ kind: "redriven" });
    expect(await timer.cancel(`bad-${dead - 1}`)).toEqual({ kind: "cancelled" });
    dead -= 1;
    const asOfMs = await serverTimeMs(cluster.nodes[0] as (typeof cluster.nodes)[number]);
    expect(await timer.reconcile([...pending, next], { asOfMs })).toMatchObject({ restored: 0, present: known.size });
  }

  await using last = timerWith(2);
  const catcher = new Catcher<{ n: number }>();
  const worker = last.worker({ leaseMs: 60_000, pollMs: 50 }, catcher.handle);
  await worker.start();
  await Promise.all([...known.keys()].map((id) => last.fireNow(id)));
  await catcher.caught(known.size);
  await worker.idle();
  expect(catcher.ids.toSorted()).toEqual([...known.keys()].toSorted());
  expect(catcher.firings.find(({ id }) => id === "followed")?.payload).toEqual({ n: 7 });
  expect(await last.stats()).toMatchObject({ pending: 0, leased: 0, dead: 1 });
  await worker.stop({ graceMs: 60_000 });
  client.disconnect();
});
