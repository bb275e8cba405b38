import { access } from "node:fs/promises";
import { RedisServer } from "@holdfast/testkit";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { StageServers } from "../src/stage-servers.ts";

describe("the servers of a demo", () => {
  it("are started once, give each scenario a database of its own, and are gone after the stop", async () => {
    const servers = new StageServers();
    const [redis, again] = await Promise.all([servers.redis(), servers.redis()]);
    expect(again).toBe(redis);
    const url = await servers.database("first");
    await servers.database("second");
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    expect((await client.query("SELECT current_database() AS name")).rows).toEqual([{ name: "first" }]);
    await client.end();
    const scratch = await servers.scratch("files");
    await access(scratch);
    expect((await servers.addresses()).join("\n")).toContain(`redis-cli -u ${redis.url}`);
    await servers.stop();
    expect(redis.isRunning).toBe(false);
    await expect(access(scratch)).rejects.toThrow("ENOENT");
  });

  it("leave a Redis that was there before as it was, but for their own keys", async () => {
    await using before = await RedisServer.start();
    await before.call("SET", "somebody:else", "1");
    const servers = new StageServers(before.url);
    const redis = await servers.redis();
    const prefix = servers.prefix("scenario");
    for (let index = 0; index < 1_200; index += 1) await redis.call("SET", `${prefix}:{timer}:${index}`, "1");
    await servers.stop();
    expect(await before.call("KEYS", "*")).toEqual(["somebody:else"]);
  });

  it("need no stop when nothing was asked for, or when a start failed", async () => {
    await new StageServers().stop();
    const servers = new StageServers("redis://127.0.0.1:1");
    await expect(servers.redis()).rejects.toThrow("ECONNREFUSED");
    await servers.stop();
  });
});
