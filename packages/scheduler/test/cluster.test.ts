/** C1 on a Cluster: a job's record and its timer lie in different slots. */
import { RedisCluster } from "@holdfast/testkit";
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
    const scheduler = new Scheduler(client, "billing", { pollMs: 50, leaseMs: 1_000 });
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
    await Promise.all(replicas.map((replica) => replica.stop({ graceMs: 2_000 })));
    for (const client of clients) client.disconnect();
  }
});
