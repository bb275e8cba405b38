/** What is left of groups of servers when the process that started them is killed, or stops them: nothing. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pollUntil, RedisCluster, RedisSentinel } from "../src/index.ts";
import { isAlive } from "./process-state.ts";
import { startScript } from "./script.ts";

interface Server {
  readonly pid: number;
  readonly directory: string;
}

const isThere = ({ pid, directory }: Server): boolean => isAlive(pid) || existsSync(directory);

describe("a Cluster and a Sentinel group", () => {
  it("leave no process and no directory when their test process is killed with SIGKILL, some of them paused", async () => {
    const script = await startScript(`
      import { RedisCluster, RedisSentinel } from "@holdfast/testkit";
      const [cluster, group] = await Promise.all([RedisCluster.start(), RedisSentinel.start()]);
      const servers = [...cluster.nodes, ...group.servers, ...group.sentinelServers];
      const seen = servers.map(({ pid, directory }) => ({ pid, directory }));
      for (const [index, server] of servers.entries()) if (index % 3 === 0) server.pause();
      console.log(JSON.stringify(seen));
      setInterval(() => {}, 1000);
    `);
    const servers = JSON.parse(await script.line()) as Server[];
    expect(servers.map(isThere)).toEqual(Array(12).fill(true));
    script.child.kill("SIGKILL");
    await pollUntil("all are gone", () => !servers.some(isThere), { timeoutMs: 60_000 });
  });

  it("leave none when they are stopped", async () => {
    const [cluster, group] = await Promise.all([RedisCluster.start(), RedisSentinel.start()]);
    const servers = [...cluster.nodes, ...group.servers, ...group.sentinelServers].map(({ pid, directory }) => ({
      pid,
      directory,
    }));
    await Promise.all([cluster.stop(), group.stop()]);
    expect(servers.map(isThere)).toEqual(Array(12).fill(false));
  });
});
