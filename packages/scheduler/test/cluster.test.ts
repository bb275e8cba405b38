/** C1 on a Cluster: a job's record and its timer lie in different slots, which move, and whose masters die. */
import { slotOf } from "@holdfast/core";
import { pollUntil, RedisCluster } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { expect, it } from "vitest";
import { Scheduler } from "../src/index.ts";
import { Catcher, repeated } from "./desk.ts";

it("C1 on a Cluster three jobs of two replicas run each occurrence once", async () => {
  await using cluster = await RedisCluster.start();
  const catchers = new Map(["a", "b", "c"].map((job) => [job, new Catcher()]));
  const clients = [1, 2].map(() => new Cluster(cluster.nodes.map(({ host, port }) => ({ host, port }))));
  const replicas = clients.map((client) => {
    client.on("error", () => undefined);
    const scheduler = new Scheduler(client, "billing", { pollMs: 50, leaseMs: 20_000, commandTimeoutMs: 10_000 });
    for (const [job, catcher] of catchers)
      scheduler.job(job, { everyMs: 200, overlap: "queue", missed: "all" }, catcher.handle);
    return scheduler;
  });
  try {
    await Promise.all(replicas.map((replica) => replica.start()));
    for (const catcher of catchers.values()) {
      await catcher.caught(5);
      expect(repeated(catcher.ids)).toEqual([]);
      const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
      expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 200));
    }
  } finally {
    await Promise.all(replicas.map((replica) => replica.stop({ graceMs: 30_000 })));
    for (const client of clients) client.disconnect();
  }
});

it("C1 the slots of a job's record and of its timer move while it runs, then their master dies: each occurrence is recorded once, none is left out", async () => {
  await using cluster = await RedisCluster.start();
  const catcher = new Catcher();
  const durability = { replicas: 1, timeoutMs: 1_000 };
  const clients = [1, 2].map(() => new Cluster(cluster.nodes.map(({ host, port }) => ({ host, port }))));
  const replicas = clients.map((client) => {
    client.on("error", () => undefined);
    return new Scheduler(client, "billing", { pollMs: 50, leaseMs: 10_000, commandTimeoutMs: 1_000, durability }).job(
      "job",
      { everyMs: 200, overlap: "queue", missed: "all" },
      catcher.handle,
    );
  });
  try {
    await Promise.all(replicas.map((replica) => replica.start()));
    await catcher.caught(3);
    const [first] = await cluster.masters();
    const slots = [slotOf("{scheduler:billing/job}"), slotOf("{timer:scheduler/billing/job}")];
    for (const slot of slots) {
      const home = await cluster.masterOf(slot);
      const other = (await cluster.masters()).find((master) => master !== home) ?? home;
      for (const to of [other, first ?? other]) {
        if ((await cluster.masterOf(slot)) !== to) await cluster.moveSlot(slot, to);
        await catcher.caught(catcher.ids.length + 2, 100_000);
      }
    }
    const doomed = await cluster.masterOf(slots[0] ?? 0);
    expect(await cluster.masterOf(slots[1] ?? 0)).toBe(doomed);
    await doomed.kill();
    await cluster.waitForNewMaster(slots[0] ?? 0, doomed);
    // The new master needs a replica, or nothing counts as done.
    await doomed.restart();
    await catcher.caught(catcher.ids.length + 5, 100_000);
  } finally {
    await Promise.all(replicas.map((replica) => replica.stop({ graceMs: 5_000 })));
  }
  const { runs } = await pollUntil("the history", () => (replicas[0] as Scheduler).history("job"));
  for (const client of clients) client.disconnect();
  const due = runs.map(({ scheduledForMs }) => scheduledForMs).toReversed();
  expect(due.length).toBeGreaterThan(10);
  expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 200));
  expect(runs.every(({ outcome }) => outcome === "completed")).toBe(true);
  // One that ran again, because its ending was taken back, had a higher token.
  const highest = new Map<string, number>();
  for (const { occurrenceId, token } of catcher.runs) {
    expect(token).toBeGreaterThan(highest.get(occurrenceId) ?? 0);
    highest.set(occurrenceId, token);
  }
}, 300_000);
