import { describe, expect, it } from "vitest";
import { ClockSkew, Pod, RedisServer } from "../src/index.ts";
import { startScript } from "./script.ts";

const hourMs = 3_600_000;

/** Checks by how much the server's clock is ahead, to the accuracy of one exchange, however long that takes. */
async function expectAhead(server: RedisServer, offsetMs: number): Promise<void> {
  const beforeMs = Date.now();
  const [seconds, microseconds] = [await server.call("TIME")].flat();
  const afterMs = Date.now();
  const serverMs = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
  expect(serverMs).toBeGreaterThanOrEqual(beforeMs + offsetMs);
  expect(serverMs).toBeLessThan(afterMs + offsetMs + 1);
}

describe("ClockSkew on a machine without a compiler", () => {
  it("is not available, and says what is missing", async () => {
    const script = await startScript(`
      import { ClockSkew } from "@holdfast/testkit";
      process.env.PATH = "/nonexistent";
      const error = await ClockSkew.create().catch((reason) => reason);
      console.log(JSON.stringify([await ClockSkew.available(), error.message]));
    `);
    const answer: unknown[] = JSON.parse(await script.line());
    expect(answer).toEqual([false, expect.stringContaining("ClockSkew needs")]);
  });
});

/** Runs where there is an effect to show; on a machine without a compiler the class has to say so. */
async function withSkew(act: (skew: ClockSkew) => Promise<void>): Promise<void> {
  if (await ClockSkew.available()) {
    await using skew = await ClockSkew.create();
    await act(skew);
  } else {
    await expect(ClockSkew.create()).rejects.toThrow("ClockSkew needs");
  }
}

describe("ClockSkew", () => {
  it("steps the clock of a running redis-server forth and back, and its keys expire by it", () =>
    withSkew(async (skew) => {
      await using server = await RedisServer.start({ env: skew.env });
      await using other = await RedisServer.start();
      await expectAhead(server, 0);
      await server.call("SET", "lease", "1", "PX", 60_000);
      await skew.set(55_000);
      expect(skew.offsetMs).toBe(55_000);
      await expectAhead(server, 55_000);
      await expectAhead(other, 0);
      expect(Number(await server.call("PTTL", "lease"))).toBeLessThan(5_001);
      await skew.set(61_000);
      expect(await server.call("GET", "lease")).toBe(null);
      await skew.set(-hourMs);
      await expectAhead(server, -hourMs);
    }));

  it("is removed once, however often that is asked for", () =>
    withSkew(async (skew) => {
      await skew.remove();
      await skew.remove();
    }));

  it("keeps its offset over a restart of the server", () =>
    withSkew(async (skew) => {
      await using server = await RedisServer.start({ env: skew.env });
      await skew.set(hourMs);
      await server.restart();
      await expectAhead(server, hourMs);
    }));

  it("steps the wall clock of a pod and leaves its monotonic clock alone", () =>
    withSkew(async (skew) => {
      await using pod = await Pod.start(new URL("clock.pod.ts", import.meta.url), { env: skew.env });
      await pod.ready();
      const startMs = performance.now();
      const before = await pod.request<{ wallMs: number; monotonicMs: number }>("clocks");
      await skew.set(-hourMs);
      const after = await pod.request<{ wallMs: number; monotonicMs: number }>("clocks");
      const tookMs = performance.now() - startMs;
      const monotonicMs = after.monotonicMs - before.monotonicMs;
      expect(monotonicMs).toBeGreaterThan(0);
      expect(monotonicMs).toBeLessThanOrEqual(tookMs);
      // Whole milliseconds, and a stand-still between the two readings of one answer counts for one of them alone.
      const wallMs = after.wallMs - before.wallMs + hourMs;
      expect(wallMs).toBeGreaterThanOrEqual(-1);
      expect(wallMs).toBeLessThanOrEqual(tookMs + 1);
      await expect(skew.set(0.5)).rejects.toThrow(RangeError);
    }));
});
