import { RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Catcher, Desk } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

let names = 0;
function freshName(): string {
  names += 1;
  return `timer-${names}`;
}

describe("schedule and cancel", () => {
  it("T1 T2 a timer fires once, with its payload, no earlier than its deadline by the server's clock", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ order: number }>(server.url, freshName());
    const result = await timer.schedule({ id: "order-1", afterMs: 40, payload: { order: 1 } });
    expect(result.kind).toBe("scheduled");
    const catcher = new Catcher<{ order: number }>();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    await worker.idle();
    expect(firing).toMatchObject({
      id: "order-1",
      payload: { order: 1 },
      attempt: 1,
      dueAtMs: result.dueAtMs,
      generation: result.generation,
    });
    expect(firing?.latenessMs).toBeGreaterThanOrEqual(0);
    expect(catcher.firings).toHaveLength(1);
    expect(worker.counts()).toMatchObject({ claimed: 1, fired: 1, lost: 0, stale: 0 });
  });

  it("T5 a cancelled timer does not fire, and cancel says what it found", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 30 });
    await timer.schedule({ id: "b", afterMs: 60 });
    expect(await timer.cancel("a")).toEqual({ kind: "cancelled" });
    expect(await timer.cancel("a")).toEqual({ kind: "absent" });
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    await catcher.caught(1);
    await worker.idle();
    expect(catcher.ids).toEqual(["b"]);
  });
});
