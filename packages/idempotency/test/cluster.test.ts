/** On a Redis Cluster: every script stays in one slot, and duplicates are woken by sharded hints. */
import { slotOf } from "@holdfast/core";
import { RedisCluster } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Idempotency } from "../src/index.ts";
import { KeyLayout } from "../src/keys.ts";
import { all, gate, pass, rejection } from "./fixture.ts";

let servers: RedisCluster;
let cluster: Cluster;
beforeAll(async () => {
  servers = await RedisCluster.start();
  cluster = new Cluster(servers.nodes.map(({ host, port }) => ({ host, port })));
  cluster.on("error", () => undefined);
});
afterAll(async () => {
  cluster.disconnect();
  await servers.stop();
});

describe("on a Cluster", () => {
  it("the keys of one idempotency key share a slot, and the keys of a name spread", () => {
    const layout = new KeyLayout("holdfast", "payments");
    const places = Array.from({ length: 2_000 }, (_, index) => layout.place({ key: `k${index}`, tenant: "t" }));
    for (const { record, recovering, held } of places) {
      expect(new Set([record, recovering, held].map(slotOf)).size).toBe(1);
    }
    expect(new Set(places.map(({ record }) => slotOf(record))).size).toBeGreaterThan(240);
  });

  it("runs, replays, waits, lists, resolves and forgets", async () => {
    await using idempotency = new Idempotency(cluster, "payments", { waitMs: 20_000, onUnknown: "hold" });
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`);
    const gates = keys.map(() => gate<string>());
    const running = keys.map((key, index) =>
      idempotency.run({ key, tenant: "t" }, () => gates[index]?.handler() ?? ""),
    );
    await Promise.all(gates.map(({ entered }) => entered));
    await using other = new Idempotency(cluster.duplicate(), "payments", { waitMs: 20_000 });
    const waiting = keys.slice(0, 5).map((key) => other.run({ key, tenant: "t" }, () => "never"));
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toHaveLength(40);
    await pass(100);
    for (const [index, each] of gates.entries()) each.open(`v${index}`);
    await Promise.all(running);
    expect((await Promise.all(waiting)).map(({ value }) => value)).toEqual(["v0", "v1", "v2", "v3", "v4"]);
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toEqual([]);
    await rejection(idempotency.run("u", () => Promise.reject(new DOMException("x", "TimeoutError"))));
    expect(await idempotency.resolve("u", { kind: "completed", value: 1 })).toEqual({ kind: "resolved" });
    expect(await idempotency.run("u", () => 2)).toMatchObject({ value: 1, replayed: true });
    expect(await idempotency.forget("u")).toEqual({ kind: "forgotten" });
  });
});
