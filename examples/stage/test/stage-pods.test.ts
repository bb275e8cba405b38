import type { Pod } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Stage } from "../src/scenario.ts";
import { StagePods, withPods } from "../src/stage-pods.ts";
import { StageServers } from "../src/stage-servers.ts";

const PROGRAM = new URL("idle-pod.ts", import.meta.url);

let servers: StageServers;
beforeAll(() => {
  servers = new StageServers();
});
afterAll(() => servers.stop());

function stageWith(signal: AbortSignal): Stage {
  return { signal, servers, quick: true, seed: 7, say: () => undefined, show: () => undefined };
}

describe("the processes of a run", () => {
  it("are dead when it is over, and so is one that was just being started", async () => {
    const pods = new StagePods(stageWith(new AbortController().signal));
    const first = await pods.start(PROGRAM, {});
    const second = pods.start(PROGRAM, {});
    expect(first.isRunning).toBe(true);
    await pods[Symbol.asyncDispose]();
    expect([first.isRunning, (await second).isRunning]).toEqual([false, false]);
  });

  it("die when the signal aborts, and no other one is started then", async () => {
    const stop = new AbortController();
    await using pods = new StagePods(stageWith(stop.signal));
    const pod = await pods.start(PROGRAM, {});
    stop.abort(new Error("enough"));
    await pod.exited;
    await expect(pods.start(PROGRAM, {})).rejects.toThrow("enough");
  });

  it("that are given are dead when what they were for has ended, or failed", async () => {
    const given: Pod[] = [];
    const stage = stageWith(new AbortController().signal);
    const begin = async (pods: StagePods): Promise<void> => {
      given.push(await pods.start(PROGRAM, {}));
    };
    await withPods(stage, begin);
    const failed = withPods(stage, async (pods) => {
      await begin(pods);
      throw new Error("broken");
    });
    await expect(failed).rejects.toThrow("broken");
    expect(given.map(({ isRunning }) => isRunning)).toEqual([false, false]);
  });

  it("that are given let the signal's reason be heard, whatever it interrupted", async () => {
    for (const end of [() => undefined, () => Promise.reject(new Error("its process has ended"))]) {
      const stop = new AbortController();
      const run = withPods(stageWith(stop.signal), async (pods) => {
        await pods.start(PROGRAM, {});
        stop.abort(new Error("enough"));
        await end();
      });
      await expect(run).rejects.toThrow("enough");
    }
  });
});
