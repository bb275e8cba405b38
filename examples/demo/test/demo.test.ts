import { execFile } from "node:child_process";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Pod, RedisServer } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const MAIN = new URL("../src/main.ts", import.meta.url);
const run = promisify(execFile);

/** Reached by what never comes: a whole scenario is played before. */
const WAIT_MS = 170_000;

/** Everything that the demo writes or starts carries this path: its files in the name, its processes in command line or environment. */
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "demo-test-"));
  // PostgreSQL may run as another user.
  await chmod(directory, 0o755);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function start(...args: string[]): Promise<Pod> {
  return Pod.start(MAIN, { args, env: { TMPDIR: directory, REDIS_URL: undefined, NO_COLOR: "1" } });
}

async function leftovers(): Promise<string[]> {
  const { stdout } = await run("ps", ["axeww", "-o", "pid=,args="], { maxBuffer: 1 << 26 });
  const processes = stdout.split("\n").filter((line) => line.includes(directory));
  return [...processes, ...(await readdir(directory))];
}

describe("the demo", () => {
  it("shows that timeouts in memory are lost and durable ones are not, keeps the servers when told, and leaves nothing", async () => {
    await using pod = await start("--only", "rolling-deploy", "--quick", "--keep");
    const address = await pod.waitForLine(/redis-cli -u/, WAIT_MS);
    expect(pod.output).toMatch(/stuck in PENDING_PAYMENT +│ +[1-9]\d* │ +0 │/);
    expect(pod.output).toMatch(/timed out twice +│ +0 │ +0 │/);
    expect(pod.output).toMatch(/rolling-deploy +│ [1-9]\d* of \d+ stuck +│ 0 of \d+ stuck +│ ✓ held/);
    expect(pod.output).toContain("payment timeout 60 s → 3 s");
    await using redis = await RedisServer.start({ url: address.trim().split(" ").at(-1) ?? "" });
    expect(await redis.call("PING")).toBe("PONG");
    expect(await leftovers()).not.toEqual([]);
    process.kill(pod.pid, "SIGINT");
    expect(await pod.exited).toMatchObject({ code: 0 });
    expect(await leftovers()).toEqual([]);
  });

  it("ends with 130 on Ctrl-C in the middle, and leaves nothing", async () => {
    await using pod = await start("--only", "rolling-deploy", "--quick");
    await pod.waitForLine(/gets SIGTERM/, WAIT_MS);
    process.kill(pod.pid, "SIGINT");
    expect(await pod.exited).toMatchObject({ code: 130 });
    expect(await leftovers()).toEqual([]);
    expect(pod.output).not.toContain("could not be shown");
  });

  it("ends with 2 when the command line is wrong, without starting anything", async () => {
    await using pod = await start("--fast");
    expect(await pod.exited).toMatchObject({ code: 2 });
    expect(pod.output).toContain("(see npm run demo -- --help)");
    expect(await leftovers()).toEqual([]);
  });

  it("lists its scenarios without starting anything", async () => {
    await using pod = await start("--list");
    expect(await pod.exited).toMatchObject({ code: 0 });
    expect(pod.output).toMatch(/^rolling-deploy {2}\S/);
  });
});
