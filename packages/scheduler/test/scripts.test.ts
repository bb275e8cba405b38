/** What each script refuses to do with a job's record, asked of it directly. */
import { NewerFormatError } from "@holdfast/core";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { catchUpMax } from "../src/plan.ts";
import { Desk, freshName } from "./desk.ts";
import { admissionOf, dayMs, definitionOf, farMs, liveView, pastMs, storedJob, storeOf } from "./stored.ts";

const definition = definitionOf();

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const stored = (desk: Desk, nextMs?: number): ReturnType<typeof storedJob> =>
  storedJob(desk.redis(server.url), freshName(), definition, nextMs);

describe("admit", () => {
  it("C1 decides nothing before the server's clock says that it is due, whatever a replica's clock says", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    expect(await store.admit(await liveView(store), admissionOf("early", farMs))).toBe("moved");
    expect(await liveView(store)).toMatchObject({ nextMs: farMs, head: "" });
  });

  it("C2 decides nothing while as many wait as may, and loses nothing by it", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk, pastMs);
    const crowd = Array.from({ length: catchUpMax }, (_, index) => [index + 1, `waiting-${index}`]).flat();
    await redis.zadd(store.keys.waiting, ...crowd);
    const view = await liveView(store);
    expect(await store.admit(view, admissionOf("one more", pastMs))).toBe("full");
    expect(await liveView(store)).toMatchObject({ nextMs: pastMs, cursorMs: 0, waitingCount: catchUpMax });
    await redis.zremrangebyrank(store.keys.waiting, 0, 0);
    expect(await store.admit(view, admissionOf("one more", pastMs))).toBe("admitted");
  });

  it("C1 decides nothing for a job that was paused or removed after the look", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk, pastMs);
    const view = await liveView(store);
    await store.pause("pause", view);
    expect(await store.admit(view, admissionOf("a", pastMs))).toBe("moved");
    await store.remove("remove");
    expect(await store.admit(view, admissionOf("a", pastMs))).toBe("moved");
  });
});

describe("admit and the run before", () => {
  const skip = { ...admissionOf("due", pastMs), followingMs: farMs, skipped: `"skipped"` };

  it("K8 a hold from before the clock went back skips nothing for longer than its length", async () => {
    await using desk = new Desk();
    const laterUs = (Date.now() + 3_600_000) * 1_000;
    for (const [heldUs, answer] of [
      [0, "admitted"],
      [200_000, "skipped"],
    ] as const) {
      const { redis, store } = await stored(desk, pastMs);
      await redis.hset(store.keys.state, "started", laterUs, "held", laterUs + heldUs);
      expect(await store.admit(await liveView(store), skip)).toBe(answer);
      expect((await liveView(store)).heldMs).toBeLessThanOrEqual(200);
      await redis.hset(store.keys.state, "next", pastMs + 1);
      await pollUntil("it is over", async () => (await liveView(store)).heldMs === 0);
      const view = await liveView(store);
      expect(await store.admit(view, { ...skip, runs: [{ id: "later", dueMs: pastMs + 1 }] })).toBe(
        heldUs === 0 ? "skipped" : "admitted",
      );
    }
  });
});

describe("begin", () => {
  it("C1 begins nothing of a job that was removed, not even another attempt of what was under way", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    expect(await store.begin("now-op", 10, definition)).toMatchObject({ kind: "run" });
    await store.remove("remove");
    expect(await store.begin("now-op", 11, definition)).toEqual({ kind: "stale" });
  });

  it("while a job is paused what its rhythm brought waits, and what was asked for by hand begins", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk, pastMs);
    await store.admit(await liveView(store), admissionOf("due", pastMs));
    await store.pause("pause", await liveView(store));
    expect(await store.begin("due", 10, definition)).toEqual({ kind: "wait" });
    await store.enqueue("op", "now-op", "queue");
    expect(await store.begin("now-op", 11, definition)).toMatchObject({ kind: "run", attempt: 1 });
  });

  it("C1 gives no token that is not higher than that of the occurrence before", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.enqueue("one", "now-one", "queue");
    await store.enqueue("two", "now-two", "queue");
    const first = (await liveView(store)).head;
    const second = first === "now-one" ? "now-two" : "now-one";
    await store.begin(first, 10, definition);
    await store.finish(first, 10, "ended", `"good"`);
    expect(await store.begin(second, 10, definition)).toEqual({ kind: "lost" });
    expect(await store.begin(second, 11, definition)).toMatchObject({ kind: "run" });
  });

  it("C1 lets nobody pass the one that goes first, and nothing begin that was never admitted", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk, pastMs);
    await store.admit(await liveView(store), { ...admissionOf("due", pastMs), followingMs: farMs });
    await store.enqueue("op", "now-op", "queue");
    expect(await store.begin("due", 10, definition)).toEqual({ kind: "wait" });
    expect(await store.begin("nobody's", 10, definition)).toEqual({ kind: "stale" });
    await store.begin("now-op", 10, definition);
    expect(await store.begin("due", 11, definition)).toEqual({ kind: "wait" });
  });
});

describe("finish", () => {
  it("C1 records nothing for an occurrence that is not under way, or of a job that was removed", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    expect(await store.finish("another", 10, "ended", `"wrong"`)).toEqual({ kind: "lost" });
    await store.remove("remove");
    expect(await store.finish("now-op", 10, "ended", `"late"`)).toEqual({ kind: "lost" });
    expect(await redis.lrange(store.keys.history, 0, -1)).toEqual([]);
  });

  it("C1 only a later delivery says that no attempt was left", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    expect(await store.finish("now-op", 10, "exhausted", `"itself"`)).toEqual({ kind: "lost" });
    expect(await store.finish("now-op", 11, "exhausted", `"later"`)).toEqual({ kind: "recorded", head: "" });
    expect(await redis.lrange(store.keys.history, 0, -1)).toEqual([`"later"`]);
  });

  it("K1 a repeat is answered as before, also when later occurrences have ended since", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    for (const [token, id] of ["now-a", "now-b", "now-c"].entries()) {
      await store.enqueue(id, id, "queue");
      await store.begin(id, token + 1, definition);
      expect(await store.finish(id, token + 1, "ended", `"${id}"`)).toMatchObject({ kind: "recorded" });
    }
    expect(await store.finish("now-a", 1, "ended", `"now-a"`)).toMatchObject({ kind: "recorded" });
    expect(await store.finish("now-a", 1, "ended", `"another ending"`)).toEqual({ kind: "lost" });
    expect((await store.recall())?.records).toEqual([`"now-c"`, `"now-b"`, `"now-a"`]);
  });
});

describe("leave", () => {
  const failure = { attempt: 1, why: "threw", durationMs: 5, error: "Error: no" } as const;

  it("C1 takes back an attempt that never began, once, however often it is asked", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    for (let time = 0; time < 2; time += 1) await store.leave("now-op", 10, null);
    expect((await liveView(store)).open).toBe("now-op");
    expect(await store.begin("now-op", 11, definition)).toMatchObject({ kind: "run", attempt: 1 });
    expect(await store.begin("now-op", 12, definition)).toMatchObject({ kind: "run", attempt: 2 });
  });

  it("K1 C1 takes it back once also when another delivery has left between a request and its repeat", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    await store.leave("now-op", 10, null);
    await store.leave("now-other", 11, null);
    await store.leave("now-op", 10, null);
    expect(await store.begin("now-op", 12, definition)).toMatchObject({ kind: "run", attempt: 1 });
  });

  it("K1 a begin that arrives after its delivery has left begins nothing", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.leave("now-op", 10, null);
    expect(await store.begin("now-op", 10, definition)).toEqual({ kind: "lost" });
    expect(await store.begin("now-op", 11, definition)).toMatchObject({ kind: "run", attempt: 1 });
  });

  it("C1 takes nothing from a later delivery, from another occurrence, or from a job that is gone", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    await store.begin("now-op", 11, definition);
    await store.leave("now-op", 10, null);
    await store.leave("now-other", 11, null);
    expect(await store.begin("now-op", 12, definition)).toMatchObject({ kind: "run", attempt: 3 });
    await store.remove("remove");
    await store.leave("now-op", 12, null);
    expect(await redis.hget(store.keys.state, "left")).toBe("11");
    await redis.del(store.keys.state);
    await store.leave("now-op", 12, null);
    expect(await redis.exists(store.keys.state)).toBe(0);
  });

  it("K3 C1 takes an attempt back, and keeps a failure, when memory is out", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definition);
    await redis.config("SET", "maxmemory", "1");
    try {
      await store.leave("now-op", 10, null);
      expect(await store.begin("now-op", 11, definition)).toMatchObject({ kind: "run", attempt: 1 });
      await store.leave("now-op", 11, failure);
    } finally {
      await redis.config("SET", "maxmemory", "0");
    }
    expect(await redis.hget(store.keys.state, "failure")).toBe(JSON.stringify(failure));
  });

  it("keeps the failure of an attempt for whoever finds none left, and forgets it with the occurrence", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    const once = definitionOf({ attemptsMax: 1 });
    for (const [id, token] of [
      ["now-a", 10],
      ["now-b", 20],
    ] as const) {
      await store.enqueue(id, id, "queue");
      await store.begin(id, token, definition);
      if (id === "now-a") await store.leave(id, token, failure);
      const found = await store.begin(id, token + 1, once);
      expect(found).toMatchObject({ kind: "exhausted", failureText: id === "now-a" ? JSON.stringify(failure) : "" });
      expect(await store.finish(id, token + 1, "exhausted", `"${id}"`)).toMatchObject({ kind: "recorded" });
    }
  });
});

describe("steer", () => {
  it("C2 a pause does not pass over what is due, unless whoever asks has seen that too many wait", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk, pastMs);
    const view = await liveView(store);
    expect(await store.pause("one", { ...view, nextMs: farMs })).toBe("moved");
    expect((await liveView(store)).paused).toBe(false);
    await redis.hset(store.keys.state, "next", pastMs + 1);
    expect(await store.pause("two", view)).toBe("moved");
    expect(await store.pause("three", await liveView(store))).toBe("paused");
    expect((await liveView(store)).paused).toBe(true);
  });

  it("C2 what becomes due after a pause was asked for passes", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk, pastMs);
    const before = { ...(await liveView(store)), nowMs: pastMs - 0.5 };
    expect(await store.pause("one", before)).toBe("paused");
  });

  it("resumes only from what is on record, and never from what was decided", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await store.pause("pause");
    const view = await liveView(store);
    expect(await store.resume("one", { ...view, nextMs: 1 }, farMs + dayMs)).toBe("moved");
    await redis.hset(store.keys.state, "cursor", farMs);
    expect(await store.resume("two", view, farMs)).toBe("moved");
    expect(await store.resume("three", view, farMs + 1)).toBe("resumed");
    expect(await liveView(store)).toMatchObject({ paused: false, nextMs: farMs + 1 });
  });

  it("K1 a repeat gets the first answer and does nothing", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.pause("one");
    const view = await liveView(store);
    expect(await store.resume("two", view, farMs)).toBe("resumed");
    expect(await store.pause("one")).toBe("paused");
    expect((await liveView(store)).paused).toBe(false);
    await store.pause("three");
    expect(await store.resume("two", view, farMs)).toBe("resumed");
    expect((await liveView(store)).paused).toBe(true);
  });
});

describe("a job that is not there", () => {
  it("is absent to whoever looks or asks for something, removed until its version is forgotten, and has no history", async () => {
    await using desk = new Desk();
    const never = storeOf(desk.redis(server.url), freshName());
    const { store } = await stored(desk);
    const view = await liveView(store);
    expect((await never.look()).kind).toBe("absent");
    expect(await store.remove("remove")).toMatchObject({ kind: "removed", nextMs: farMs });
    expect(await store.look()).toMatchObject({ kind: "removed", version: 1 });
    for (const absent of [never, store]) {
      expect(await absent.pause("pause")).toBe("absent");
      expect(await absent.resume("resume", view, farMs)).toBe("absent");
      expect(await absent.enqueue("op", "now-op", "queue")).toBe("absent");
      expect(await absent.recall()).toBeNull();
      expect(await absent.remove("again")).toEqual({ kind: "absent" });
      expect(await absent.begin("now-op", 10, definition)).toEqual({ kind: "stale" });
    }
    expect((await store.remove("remove")).kind).toBe("removed");
  });

  it("K1 a removal that is repeated after the job was defined anew does not take it out again", async () => {
    await using desk = new Desk();
    const { store } = await stored(desk);
    await store.remove("remove");
    expect(await store.define(definition, await store.look(), farMs)).toBe("kept");
    expect(await store.define(definitionOf({ version: 2 }), await store.look(), farMs)).toBe("defined");
    // Nor does it name anything of the new one that its caller would cancel.
    expect(await store.remove("remove")).toEqual({ kind: "removed", nextMs: 0, open: "" });
    expect(await liveView(store)).toMatchObject({ version: 2, nextMs: farMs });
  });

  it("K1 whoever was answered absent is answered that again, and does nothing to a job that came since", async () => {
    await using desk = new Desk();
    const store = storeOf(desk.redis(server.url), freshName());
    const ask = async (): Promise<unknown[]> => [
      await store.enqueue("op", "now-op", "queue"),
      await store.pause("op"),
      await store.resume("op", await store.look(), farMs),
      (await store.remove("op")).kind,
    ];
    expect(await ask()).toEqual(["absent", "absent", "absent", "absent"]);
    expect(await store.define(definition, await store.look(), farMs)).toBe("defined");
    expect(await ask()).toEqual(["absent", "absent", "absent", "absent"]);
    expect(await liveView(store)).toMatchObject({ paused: false, waitingCount: 0 });
  });
});

describe("define", () => {
  it("C5 defines nothing by an old look, while something is due, or before what was decided", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    const newer = definitionOf({ version: 2 });
    const view = await liveView(store);
    expect(await store.define(newer, { ...view, nextMs: 1 }, farMs)).toBe("moved");
    await redis.hset(store.keys.state, "next", pastMs);
    expect(await store.define(newer, await liveView(store), farMs)).toBe("moved");
    await redis.hset(store.keys.state, "next", farMs, "cursor", farMs);
    expect(await store.define(newer, view, farMs)).toBe("moved");
    expect(await store.define(newer, view, farMs + 1)).toBe("defined");
  });

  it("C5 while as many wait as may, it begins with what is due and cannot be decided, and passes over nothing", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk, pastMs);
    const newer = definitionOf({ version: 2 });
    const view = await liveView(store);
    expect(await store.define(newer, view, pastMs, pastMs - 1)).toBe("moved");
    const crowd = Array.from({ length: catchUpMax }, (_, index) => [index + 1, `waiting-${index}`]).flat();
    await redis.zadd(store.keys.waiting, ...crowd);
    expect(await store.define(newer, view, pastMs + dayMs, pastMs)).toBe("moved");
    expect(await store.define(newer, view, pastMs, pastMs - 1)).toBe("defined");
    expect(await liveView(store)).toMatchObject({ version: 2, nextMs: pastMs, waitingCount: catchUpMax });
  });
});

describe("a record of a newer format", () => {
  it("is left alone by reads and writes alike", async () => {
    await using desk = new Desk();
    const { redis, store } = await stored(desk);
    await redis.hset(store.keys.state, "format", "2");
    await expect(store.look()).rejects.toBeInstanceOf(NewerFormatError);
    await expect(store.enqueue("op", "now-op", "queue")).rejects.toBeInstanceOf(NewerFormatError);
    expect(await redis.exists(store.keys.waiting)).toBe(0);
  });
});
