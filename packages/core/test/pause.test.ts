/** A process that is stopped in the middle of a call (SIGSTOP, a long garbage collection) and continued. */
import { FaultProxy, Pod, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { patientMs } from "./clients.ts";

/** Longer than what a starved machine takes until the process is paused. */
const timeoutMs = 4_000;
const pauseMs = timeoutMs + 500;

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

interface Scene {
  readonly pod: Pod;
  readonly proxy: FaultProxy;
  readonly add: (id: string, timeoutMs?: number) => Promise<unknown>;
  readonly count: () => Promise<number>;
}

async function inScene(play: (scene: Scene) => Promise<void>): Promise<void> {
  await server.call("FLUSHALL");
  await using proxy = await FaultProxy.start(server);
  await using pod = await Pod.start(new URL("caller.pod.ts", import.meta.url), { env: { URL: proxy.url } });
  await pod.ready();
  const add = (id: string, withinMs = timeoutMs): Promise<unknown> =>
    pod.request("add", { id, timeoutMs: withinMs }, 2 * patientMs);
  await add("0", patientMs);
  await play({ pod, proxy, add, count: async () => Number(await server.call("GET", "{k}count")) });
}

/** Stops the process for longer than its calls wait. What happens outside meanwhile is up to the test. */
async function pausedFor(pod: Pod, meanwhile: () => Promise<void> | void): Promise<void> {
  pod.pause();
  const untilMs = performance.now() + pauseMs;
  await meanwhile();
  await pollUntil("the pause is over", () => performance.now() >= untilMs);
  pod.resume();
}

describe("a process that was paused for longer than its call waits", () => {
  it("K1 takes the answer that lies in its socket, although its timer is overdue", async () => {
    await inScene(async ({ pod, proxy, add, count }) => {
      const held = proxy.hold("reply", "evalsha");
      const answer = add("1");
      await held.hit;
      await pausedFor(pod, () => held.release());
      expect(await answer).toEqual(["applied", 2, "1"]);
      expect(await count()).toBe(2);
    });
  });

  it("K1 without an answer in its socket learns by the repeat that the call had been applied", async () => {
    await inScene(async ({ pod, proxy, add, count }) => {
      const held = proxy.hold("reply", "evalsha");
      const answer = add("1");
      await held.hit;
      await pausedFor(pod, () => undefined);
      expect(await answer).toEqual({ name: "OutcomeUnknownError", effect: "possible" });
      held.release();
      expect(await add("1", patientMs)).toEqual(["applied", "2", "1"]);
      expect(await count()).toBe(2);
    });
  });

  it("K1 and whose request arrives only after the pause has done nothing, and does it when repeated", async () => {
    await inScene(async ({ pod, proxy, add, count }) => {
      const held = proxy.hold("request", "evalsha");
      const answer = add("1");
      await held.hit;
      await pausedFor(pod, () => undefined);
      held.release();
      expect(await answer).toEqual({
        name: expect.stringMatching(/^(OutcomeUnknown|TooLate)Error$/),
        effect: expect.any(String),
      });
      expect(await count()).toBe(1);
      expect(await add("1", patientMs)).toEqual(["applied", 2, "1"]);
    });
  });
});
