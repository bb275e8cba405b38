/** A store that is down or forgets, replies that are lost, workers that are paused. */
import { LeapClock, pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { AttemptLostError, AttemptSupersededError, OutcomeUnknownError, RedisUnavailableError } from "../src/index.ts";
import type { Attempt, IdempotencyEvent } from "../src/index.ts";
import { all, gate, longLeaseMs, pass, rejection, renewedBy, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();

/** Lets the time of everything that is waited for pass until a promise is settled. */
async function over(clock: LeapClock, promise: Promise<unknown>): Promise<void> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await pollUntil("its time is over", () => {
    clock.leap(10_000);
    return settled;
  });
}

describe("a store that is down", () => {
  it("fails closed by default: nothing runs, and the error says so", async () => {
    const { proxy, redis } = await bench.proxied();
    await proxy.refuse();
    proxy.reset();
    const idempotency = bench.idempotency({ commandTimeoutMs: 100 }, redis);
    const error = await rejection(idempotency.run("k", () => expect.unreachable()));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ effect: "none" });
  });

  it("fails open by explicit choice: the handler runs unguarded, and cannot pass for the first attempt", async () => {
    const { proxy, redis } = await bench.proxied();
    await proxy.refuse();
    proxy.reset();
    const events: string[] = [];
    const options = {
      commandTimeoutMs: 100,
      whenUnreachable: "open",
      onEvent: ({ type }: IdempotencyEvent) => events.push(type),
    };
    const idempotency = bench.idempotency(options as object, redis);
    let attempt: Attempt | undefined;
    const result = await idempotency.run("k", (given) => {
      attempt = given;
      given.assertHeld();
      return new Date(0);
    });
    expect(result).toEqual({ value: "1970-01-01T00:00:00.000Z", replayed: false, stored: false });
    expect(attempt).toMatchObject({ guarded: false, recovered: true, token: 0, number: 1 });
    expect(attempt?.remainingMs()).toBe(Infinity);
    expect(attempt?.signal.aborted).toBe(false);
    expect(events).toEqual(["unguarded"]);
    expect(attempt?.downstreamKey).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe("a store that goes down while a call waits", () => {
  it("does not let it run beside the attempt that is known to run, not even with whenUnreachable open", async () => {
    const { proxy, redis } = await bench.proxied();
    const name = uniqueName();
    const first = gate<string>();
    const running = bench.idempotency({}, undefined, name).run("k", first.handler);
    await first.entered;
    const clock = new LeapClock();
    const open = bench.idempotency({ whenUnreachable: "open", clock }, redis, name);
    const waiting = rejection(open.run("k", { waitMs: 600_000 }, () => expect.unreachable()));
    await pollUntil("it waits", async () => (await bench.redis.pubsub("CHANNELS")).length === 1);
    await proxy.refuse();
    proxy.reset();
    await over(clock, waiting);
    expect(await waiting).toMatchObject({ name: "InProgressError" });
    first.open("done");
    await running;
  });
});

describe("a reply that is lost", () => {
  const lost = /^EVALSHA|^EVAL /i;

  it("I9 of a claim: the attempt runs once and is not unknown, with the client's resending and without it", async () => {
    for (const options of [{}, { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }]) {
      const { proxy, redis } = await bench.proxied(options);
      const idempotency = bench.idempotency({ commandTimeoutMs: 60_000 }, redis);
      await idempotency.inspect("k");
      proxy.swallowReply((words) => lost.test(words.join(" ")) && words.join(" ").includes("recover"));
      let runs = 0;
      expect(await idempotency.run("k", () => (runs += 1))).toEqual({ value: 1, replayed: false, stored: true });
      expect((await idempotency.inspect("k"))?.attempts).toBe(1);
    }
  });

  it("of a claim that nobody can be asked again for: what it may have got is given back, and the next call does not wait for a lease", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const name = uniqueName();
    const idempotency = bench.idempotency({ leaseMs: 600_000, commandTimeoutMs: 2_000 }, redis, name);
    // Redis has the script from here on.
    await idempotency.run("warm-up", () => "done");
    // Open connections go on: until the reply is swallowed, and the connection cut.
    await proxy.refuse();
    const rule = proxy.swallowReply((words) => lost.test(words.join(" ")) && words.join(" ").includes("recover"));
    expect(await rejection(idempotency.run("k", () => expect.unreachable()))).toMatchObject({
      name: "RedisUnavailableError",
      effect: "none",
    });
    expect(rule.hits).toBe(1);
    await proxy.accept();
    const other = bench.idempotency({}, undefined, name);
    expect(await other.run("k", { waitMs: 300_000 }, () => "done")).toMatchObject({ value: "done", replayed: false });
  });

  it("I9 of a complete: it is repeated, and the caller hears its result", async () => {
    for (const options of [{}, { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }]) {
      const { proxy, redis } = await bench.proxied(options);
      const idempotency = bench.idempotency({ commandTimeoutMs: 60_000 }, redis);
      const rule = proxy.swallowReply((words) => words.includes("completed"), { times: 2 });
      expect(await idempotency.run("k", () => "done")).toEqual({ value: "done", replayed: false, stored: true });
      expect(rule.hits).toBe(2);
      expect(await idempotency.run("k", () => "again")).toMatchObject({ value: "done", replayed: true });
    }
  });

  it("I9 of every complete: the one caller hears unknown, and the next one the result", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const name = uniqueName();
    const events: IdempotencyEvent[] = [];
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ clock, onEvent: (event) => events.push(event) }, redis, name);
    const rule = proxy.swallowReply((words) => words.includes("completed"), { times: Infinity });
    const running = rejection(idempotency.run("k", () => "done"));
    await rule.hit;
    await over(clock, running);
    const error = await running;
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ operationId: "k", effect: "possible" });
    // What to do is what run takes: the key.
    expect((error as Error).message).toContain("run it again under the same key");
    expect(events.filter(({ type }) => type === "unknown")).toHaveLength(1);
    expect(await bench.idempotency({}, undefined, name).run("k", () => "again")).toMatchObject({
      value: "done",
      replayed: true,
    });
  });

  it("I9 counter-test: a complete that is sent once is unknown after one lost reply", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const key = uniqueName();
    proxy.swallowReply("SET");
    const sent = redis.set(key, "done");
    const outcome = await Promise.race([rejection(sent), pass(200).then(() => "no answer")]);
    expect(outcome === "no answer" || outcome instanceof Error).toBe(true);
    expect(await bench.redis.get(key)).toBe("done");
  });

  it("of a release: the handler's error is what the caller hears, and the key is free", async () => {
    const { proxy, redis } = await bench.proxied();
    const idempotency = bench.idempotency({ commandTimeoutMs: 60_000 }, redis);
    proxy.swallowReply((words) => words.includes("possible"));
    expect(await rejection(idempotency.run("k", () => Promise.reject(new Error("mine"))))).toMatchObject({
      message: "mine",
    });
    expect((await idempotency.inspect("k"))?.kind).toBe("released");
  });

  it("of a renewal: the lease is renewed again before it ends", async () => {
    const { proxy, redis } = await bench.proxied();
    const events: string[] = [];
    const clock = new LeapClock();
    const options = { leaseMs: longLeaseMs, clock, onEvent: ({ type }: IdempotencyEvent) => events.push(type) };
    const idempotency = bench.idempotency(options, redis);
    let lostOne = false;
    const result = await idempotency.run("k", async ({ signal }) => {
      const rule = proxy.swallowReply((words) => lost.test(words.join(" ")));
      clock.leap(longLeaseMs / 3);
      await rule.hit;
      lostOne = true;
      await renewedBy(bench)(clock, 3);
      return signal.aborted;
    });
    expect(lostOne).toBe(true);
    expect(result).toMatchObject({ value: false, stored: true });
  });

  it("of a resolve and a forget: the operation id gets the first answer", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const idempotency = bench.idempotency(
      { commandTimeoutMs: 60_000, onUnknown: "hold", onError: () => "unknown" },
      redis,
    );
    await rejection(idempotency.run("k", () => Promise.reject(new Error("?"))));
    proxy.swallowReply(/op-1/);
    const call = (): Promise<unknown> =>
      idempotency.resolve("k", { kind: "completed", value: 1 }, { operationId: "op-1" });
    expect(await rejection(call())).toMatchObject({ name: "OutcomeUnknownError", operationId: "op-1" });
    expect(await call()).toEqual({ kind: "resolved" });
    proxy.swallowReply(/op-2/);
    const forget = (): Promise<unknown> => idempotency.forget("k", { operationId: "op-2" });
    expect(await rejection(forget())).toMatchObject({ name: "OutcomeUnknownError", operationId: "op-2" });
    expect(await forget()).toEqual({ kind: "forgotten" });
  });

  it("I9 without a fault no outcome is unknown, and nothing is left unfinished", async () => {
    const events: string[] = [];
    const idempotency = bench.idempotency({ waitMs: 20_000, onEvent: ({ type }) => events.push(type) });
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => idempotency.run(`k${index % 50}`, () => pass(index % 7))),
    );
    expect(events.filter((type) => type === "unknown")).toEqual([]);
    expect(events.filter((type) => type === "stored")).toHaveLength(50);
    expect(await all(idempotency.stuck({ olderThanMs: 0 }))).toEqual([]);
  });
});

describe("a claim that is answered as late as its lease is long", () => {
  it("I5 is given back and made again: the work begins with a lease, and hears of no earlier attempt", async () => {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, commandTimeoutMs: 600_000, clock }, redis, name);
    await idempotency.run("warm-up", () => undefined);
    const held = proxy.hold("reply", (words) => words.includes("recover"));
    const running = idempotency.run("k", ({ signal, recovered }) => ({ aborted: signal.aborted, recovered }));
    await held.hit;
    clock.leap(longLeaseMs);
    await bench.lapse();
    held.release();
    expect((await running).value).toEqual({ aborted: false, recovered: false });
  });

  it("I9 and cannot be given back, is a store that is unavailable: nothing has run", async () => {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, commandTimeoutMs: 120_000, clock }, redis, name);
    await idempotency.run("warm-up", () => undefined);
    const held = proxy.hold("reply", (words) => words.includes("recover"));
    proxy.hold("reply", (words) => words.includes("none"), { times: 9 });
    const running = rejection(idempotency.run("k", () => expect.unreachable()));
    await held.hit;
    clock.leap(longLeaseMs);
    await bench.lapse();
    held.release();
    await over(clock, running);
    expect(await running).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
  });
});

describe("a worker that is paused past its lease", () => {
  /** Runs a worker whose lease lapses without a successor. */
  async function lapsed(end: (late: ReturnType<typeof gate<string>>) => void): Promise<{
    name: string;
    run: Promise<unknown>;
    attempt: Attempt;
  }> {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, clock }, redis, name);
    const late = gate<string>();
    let attempt: Attempt | undefined;
    const run = idempotency.run("k", (given) => {
      attempt = given;
      return late.handler();
    });
    run.catch(() => undefined);
    await Promise.race([late.entered, run]);
    proxy.blackhole();
    clock.leap(longLeaseMs);
    await bench.lapse();
    expect((await bench.idempotency({}, undefined, name).inspect("k"))?.kind).toBe("lapsed");
    await proxy.heal({ held: "drop" });
    end(late);
    return { name, run, attempt: attempt as Attempt };
  }

  it("that completes before anybody took over is believed: nothing was done twice", async () => {
    const { name, run, attempt } = await lapsed((late) => late.open("late but first"));
    expect(await run).toMatchObject({ value: "late but first", stored: true });
    expect(attempt.signal.aborted).toBe(true);
    expect(await bench.idempotency({}, undefined, name).run("k", () => "second")).toMatchObject({
      value: "late but first",
    });
  });

  it("that throws before anybody took over frees the key", async () => {
    const { name, run } = await lapsed((late) => late.fail(new Error("mine")));
    expect(await rejection(run)).toMatchObject({ message: "mine" });
    expect(await bench.idempotency({}, undefined, name).run("k", ({ recovered }) => recovered)).toMatchObject({
      value: true,
    });
  });

  it("that asks still hears that it lost its key, since another may run", async () => {
    const { run, attempt } = await lapsed((late) => late.open("x"));
    expect(() => attempt.assertHeld()).toThrow(AttemptLostError);
    await run;
  });
});

describe("Redis forgets", () => {
  it("flushed mid-run: the running attempt still stores its result", async () => {
    const idempotency = bench.idempotency();
    const first = gate<string>();
    const running = idempotency.run("k", { fingerprint: 1 }, first.handler);
    await first.entered;
    await bench.redis.flushall();
    first.open("kept");
    expect(await running).toMatchObject({ value: "kept", stored: true });
    expect(await idempotency.run("k", { fingerprint: 1 }, () => "again")).toMatchObject({
      value: "kept",
      replayed: true,
    });
  });

  it("flushed mid-run with a successor: one result stands, the other caller is told, and the token shows who is stale", async () => {
    const idempotency = bench.idempotency({ leaseMs: 60_000 });
    const first = gate<string>();
    const second = gate<string>();
    const tokens: number[] = [];
    const start = (each: ReturnType<typeof gate<string>>): Promise<unknown> =>
      idempotency.run("k", ({ token }) => {
        tokens.push(token);
        return each.handler();
      });
    const one = start(first);
    one.catch(() => undefined);
    await first.entered;
    await bench.redis.flushall();
    const two = start(second);
    await second.entered;
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
    first.open("one");
    expect(await rejection(one)).toBeInstanceOf(AttemptSupersededError);
    second.open("two");
    expect(await two).toMatchObject({ value: "two" });
  });

  it("flushed mid-run: a failing attempt fails as it would have", async () => {
    const idempotency = bench.idempotency();
    for (const error of [new Error("plain"), new DOMException("x", "TimeoutError")]) {
      const first = gate<string>();
      const running = idempotency.run("k", first.handler);
      running.catch(() => undefined);
      await first.entered;
      await bench.redis.flushall();
      first.fail(error);
      const thrown = await rejection(running);
      expect(thrown === error || thrown instanceof OutcomeUnknownError).toBe(true);
    }
  });

  it("scripts flushed: calls go on", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", () => 1);
    await bench.redis.script("FLUSH");
    expect(await idempotency.run("k", () => 2)).toMatchObject({ value: 1, replayed: true });
  });
});
