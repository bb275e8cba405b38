import { afterEach, describe, expect, it } from "vitest";
import { Pod, pollUntil, type PodOptions } from "../src/index.ts";
import { isAlive, isStopped } from "./process-state.ts";
import { startScript } from "./script.ts";

const echoPod = new URL("echo.pod.ts", import.meta.url);

describe("Pod", () => {
  const pods: Pod[] = [];
  const start = async (options?: PodOptions, file: string | URL = echoPod): Promise<Pod> => {
    const pod = await Pod.start(file, options);
    pods.push(pod);
    return pod;
  };
  const startEcho = async (options?: PodOptions): Promise<Pod> => {
    const pod = await start(options);
    await pod.ready();
    return pod;
  };
  afterEach(async () => {
    await Promise.all(pods.splice(0).map((pod) => pod.kill()));
  });

  it("runs a TypeScript program, resolves ready with its value, and answers requests", async () => {
    const pod = await start({ args: ["one", "two"] });
    expect(await pod.ready<{ port: number }>()).toMatchObject({ address: "127.0.0.1" });
    expect(await pod.waitForLine(/listening/)).toBe("listening with one two");
    expect(await pod.request<number>("add", { a: 2, b: 3 })).toBe(5);
    await expect(pod.request("fail")).rejects.toThrow(/fail failed.*TypeError: as told/);
    await expect(pod.request("nothing")).rejects.toThrow('no handler named "nothing"');
  });

  it("becomes ready by a line of output, too", async () => {
    const pod = await start();
    expect(await pod.ready({ line: /^listening/ })).toBe("listening with ");
  });

  it("passes messages both ways, and each is taken once", async () => {
    const pod = await startEcho();
    await pod.send("a");
    await pod.send("b");
    expect(await pod.waitForMessage((message) => JSON.stringify(message).includes("b"))).toEqual({ heard: "b" });
    expect(await pod.waitForMessage()).toEqual({ heard: "a" });
    await expect(pod.waitForMessage(() => true, 20)).rejects.toThrow("Waited 20 ms in vain");
    await pod.send("c");
    for await (const message of pod) {
      expect(message).toEqual({ heard: "c" });
      await pod.kill();
    }
  });

  it("keeps no more than the last lines that nobody waits for, however much the program prints", async () => {
    const pod = await startEcho();
    await pod.request("chatter", 10_100);
    expect(await pod.waitForLine(/^line 10100$/)).toBe("line 10100");
    expect(await pod.waitForLine(/^line 5000$/)).toBe("line 5000");
    await expect(pod.waitForLine(/^line 50$/, 20)).rejects.toThrow("Waited 20 ms in vain");
  });

  it("is ended by SIGTERM within its grace period, with its own exit status", async () => {
    const pod = await startEcho({ env: { TIDY: "1" } });
    expect(await pod.term()).toMatchObject({ code: 7, signal: null, graceful: true });
  });

  it("is killed when it ignores SIGTERM for the grace period, also while it is paused", async () => {
    const pod = await startEcho({ env: { STUBBORN: "1" } });
    process.kill(pod.pid, "SIGTERM");
    await pod.waitForLine(/^no$/);
    const ended = await pod.term(100);
    expect(ended).toMatchObject({ code: null, signal: "SIGKILL", graceful: false });
    expect(ended.tookMs).toBeGreaterThanOrEqual(99);
    const paused = await startEcho({ env: { TIDY: "1" } });
    paused.pause();
    expect(await paused.term(50)).toMatchObject({ signal: "SIGKILL", graceful: false });
  });

  it("does nothing while paused and goes on when resumed", async () => {
    const pod = await startEcho();
    pod.pause();
    await pollUntil("the pod is stopped", () => isStopped(pod.pid));
    await expect(pod.request("add", { a: 1, b: 1 }, 100)).rejects.toThrow("in vain");
    pod.resume();
    expect(await pod.request("add", { a: 1, b: 1 })).toBe(2);
    expect(await pod.request("longestTickMs")).toBeGreaterThan(95);
  });

  it("has a blocked event loop for as long as it was told", async () => {
    const pod = await startEcho();
    await pod.blockLoop(300);
    await pod.request("add", { a: 1, b: 1 });
    expect(await pod.request("longestTickMs")).toBeGreaterThanOrEqual(299);
  });

  it("is told to block its event loop without waiting for the end of that", async () => {
    const pod = await startEcho();
    await pod.blockLoop(3_600_000);
    await expect(pod.request("add", { a: 1, b: 1 }, 100)).rejects.toThrow("in vain");
  });

  it("tells those who wait that it ended, and how, with its output", async () => {
    const pod = await startEcho();
    await expect(pod.request("crash")).rejects.toThrow(/ended with status 3[^]*listening/);
    expect(await pod.exited).toEqual({ code: 3, signal: null });
    await expect(pod.request("add")).rejects.toThrow("ended with status 3");
    await expect(pod.blockLoop(1)).rejects.toThrow("ended with status 3");
  });

  it("is not kept alive by its own channels", async () => {
    const pod = await start({}, new URL("quiet.pod.ts", import.meta.url));
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(await pod.waitForLine(/done/)).toBe("done");
  });

  it("takes what it started with it", async () => {
    const pod = await startEcho();
    const grandchild = await pod.request<number>("grandchild");
    expect(isAlive(grandchild)).toBe(true);
    await pod.kill();
    await pollUntil("the grandchild is dead", () => !isAlive(grandchild));
  });

  it("does not outlive a test process that is killed with SIGKILL, even paused", async () => {
    const script = await startScript(`
      import { Pod } from "@holdfast/testkit";
      const pods = await Promise.all([Pod.start(${JSON.stringify(echoPod.href)}), Pod.start(${JSON.stringify(echoPod.href)})]);
      await Promise.all(pods.map((pod) => pod.ready()));
      pods[0].pause();
      console.log(JSON.stringify(pods.map((pod) => pod.pid)));
    `);
    const pids: number[] = JSON.parse(await script.line());
    expect(pids.every((pid) => isAlive(pid))).toBe(true);
    script.child.kill("SIGKILL");
    await pollUntil("the pods are dead", () => !pids.some((pid) => isAlive(pid)));
  });
});
