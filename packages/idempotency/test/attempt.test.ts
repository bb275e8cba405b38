import { createHash } from "node:crypto";
import { LeapClock } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { AttemptLostError, FingerprintMismatchError, InProgressError, OutcomeUnknownError } from "../src/index.ts";
import type { Attempt, IdempotencyOptions } from "../src/index.ts";
import { aborted, gate, longLeaseMs, pass, rejection, uniqueName, useBench } from "./fixture.ts";
import type { Bench } from "./fixture.ts";
import { overtaken } from "./overtaken.ts";

const bench = useBench();

describe("I5 the handler gets a token and a signal that aborts when the lease is lost", () => {
  it("I5 the signal aborts by the local deadline, without an answer of Redis, and assertHeld throws", async () => {
    const clock = new LeapClock();
    const { proxy, redis } = await bench.proxied();
    const late = gate<string>();
    const given = Promise.withResolvers<Attempt>();
    const running = bench.idempotency({ leaseMs: longLeaseMs, clock }, redis).run("k", (each) => {
      given.resolve(each);
      return late.handler();
    });
    running.catch(() => undefined);
    const attempt = await given.promise;
    proxy.blackhole();
    expect(attempt.signal.aborted).toBe(false);
    clock.leap(longLeaseMs);
    await aborted(attempt.signal);
    expect(attempt.signal.reason).toBeInstanceOf(AttemptLostError);
    expect((attempt.signal.reason as AttemptLostError).reason).toBe("expired");
    expect(() => attempt.assertHeld()).toThrow(AttemptLostError);
    expect(attempt.remainingMs()).toBe(0);
    await proxy.heal({ held: "drop" });
    late.open("done");
    await running;
  });

  it("I5 the signal aborts when an operator takes the key away", async () => {
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, clock });
    const first = gate<string>();
    let attempt: Attempt | undefined;
    const running = idempotency.run("k", (given) => {
      attempt = given;
      return first.handler();
    });
    running.catch(() => undefined);
    await first.entered;
    const { signal } = attempt as Attempt;
    await idempotency.forget("k");
    // The next renewal.
    clock.leap(longLeaseMs / 2);
    await aborted(signal);
    expect(attempt?.signal.reason).toMatchObject({ name: "AttemptLostError", reason: "lost" });
    first.open("late");
    await rejection(running);
  });

  it("I5 a signal given to the call cancels waiting and never the work", async () => {
    const idempotency = bench.idempotency();
    const controller = new AbortController();
    const first = gate<string>();
    let attempt: Attempt | undefined;
    const running = idempotency.run("k", { signal: controller.signal }, (given) => {
      attempt = given;
      return first.handler();
    });
    await first.entered;
    const waiting = idempotency.run("k", { signal: controller.signal, waitMs: 60_000 }, () => "never");
    await pass(30);
    controller.abort(new Error("the caller has gone"));
    expect(await rejection(waiting)).toMatchObject({ message: "the caller has gone" });
    expect(attempt?.signal.aborted).toBe(false);
    first.open("done");
    expect(await running).toMatchObject({ value: "done" });
  });

  it("I5 a signal given to the call that aborts at the grant gives the key back: nothing has run", async () => {
    const name = uniqueName();
    const { proxy, redis } = await bench.proxied();
    const controller = new AbortController();
    const held = proxy.hold("reply", (words) => words.includes("recover"));
    const running = rejection(
      bench
        .idempotency({ leaseMs: longLeaseMs }, redis, name)
        .run("k", { signal: controller.signal }, () => expect.unreachable()),
    );
    await held.hit;
    controller.abort(new Error("the caller has gone"));
    held.release();
    expect(await running).toMatchObject({ message: "the caller has gone" });
    const next = bench.idempotency({ waitMs: 20_000, leaseMs: longLeaseMs }, undefined, name);
    expect((await next.run("k", ({ recovered }) => recovered)).value).toBe(false);
  });

  it("I8 each attempt is told its number", async () => {
    const idempotency = bench.idempotency();
    const numbers: number[] = [];
    for (let attempt = 1; attempt <= 12; attempt += 1) {
      const running = idempotency.run("k", ({ number }) => {
        numbers.push(number);
        throw new Error("again");
      });
      expect(await rejection(running)).toMatchObject({ message: "again" });
    }
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect((await idempotency.inspect("k"))?.attempts).toBe(12);
  });

  it("I5 counter-test: a flag that a timer sets says held after the event loop was blocked", async () => {
    const idempotency = bench.idempotency({ leaseMs: 100 });
    await idempotency
      .run("k", async (attempt) => {
        let expired = false;
        const timer = setTimeout(() => {
          expired = true;
        }, 100);
        const untilMs = performance.now() + 200;
        while (performance.now() < untilMs);
        expect(expired).toBe(false);
        expect(() => attempt.assertHeld()).toThrow(AttemptLostError);
        clearTimeout(timer);
      })
      .catch(() => undefined);
  });
});

describe("I6 replay is byte-exact", () => {
  const binary = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));

  it("I6 bytes, nested bytes, undefined, null and text come back as they were stored, first run included", async () => {
    const values = [
      binary,
      { file: binary, name: "x" },
      undefined,
      null,
      "",
      "\0é😀",
      [],
      { deep: [{ b: binary }] },
      0,
      false,
    ];
    const idempotency = bench.idempotency();
    for (const [index, value] of values.entries()) {
      const first = await idempotency.run(`k${index}`, () => value);
      const again = await idempotency.run(`k${index}`, () => expect.unreachable());
      expect(first.value).toStrictEqual(again.value);
      expect(first.value).toEqual(value);
    }
  });

  it("I6 a result of a megabyte comes back", async () => {
    const idempotency = bench.idempotency({ resultBytesMax: 2_000_000 });
    const big = Buffer.alloc(1_048_576, binary);
    const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    await idempotency.run("k", () => big);
    const { value } = await idempotency.run<Buffer>("k", () => expect.unreachable());
    expect(hash(value)).toBe(hash(big));
  });

  it("I6 counter-test: plain JSON turns bytes into something else", () => {
    expect(JSON.parse(JSON.stringify(binary))).not.toEqual(binary);
  });
});

describe("I8 recovered is true whenever an earlier attempt's lack of effect is not proven", () => {
  const seen = async (idempotency: ReturnType<Bench["idempotency"]>): Promise<boolean> =>
    (await idempotency.run("k", ({ recovered }) => recovered)).value;

  it("I8 after an error without a word on its effect", async () => {
    const idempotency = bench.idempotency();
    await rejection(
      idempotency.run("k", ({ recovered }) => {
        expect(recovered).toBe(false);
        throw new Error("after the charge?");
      }),
    );
    expect(await seen(idempotency)).toBe(true);
  });

  it("I8 not after an error that proves that nothing happened", async () => {
    const idempotency = bench.idempotency();
    await rejection(
      idempotency.run("k", { fingerprint: 1 }, () =>
        Promise.reject(Object.assign(new Error("no"), { effect: "none" })),
      ),
    );
    // Nothing happened, so another payload may use the key, too.
    const { value } = await idempotency.run("k", { fingerprint: 2 }, ({ recovered, number }) => ({
      recovered,
      number,
    }));
    expect(value).toEqual({ recovered: false, number: 2 });
  });

  it("I8 a later proof says nothing of an earlier attempt", async () => {
    const idempotency = bench.idempotency();
    await rejection(idempotency.run("k", { fingerprint: 1 }, () => Promise.reject(new Error("perhaps"))));
    await rejection(
      idempotency.run("k", { fingerprint: 1 }, () =>
        Promise.reject(Object.assign(new Error("no"), { effect: "none" })),
      ),
    );
    expect(await rejection(idempotency.run("k", { fingerprint: 2 }, () => 1))).toBeInstanceOf(FingerprintMismatchError);
    expect(await seen(idempotency)).toBe(true);
  });

  it("I8 after an attempt that died", async () => {
    const { name } = await overtaken(bench);
    expect(await seen(bench.idempotency({ waitMs: 20_000 }, undefined, name))).toBe(true);
  });

  it("I8 after an unknown outcome, once the lease has passed", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const timeout = Object.assign(new Error("no answer"), { name: "TimeoutError" });
    const error = await rejection(idempotency.run("k", () => Promise.reject(timeout)));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect((error as OutcomeUnknownError).cause).toBe(timeout);
    expect(await rejection(seen(idempotency))).toBeInstanceOf(InProgressError);
    await bench.lapse();
    expect((await idempotency.inspect("k"))?.kind).toBe("lapsed");
    expect(await seen(idempotency)).toBe(true);
  });

  it("I8 after an operator has released the key with a possible effect, and not when there was none", async () => {
    const options: IdempotencyOptions = { onUnknown: "hold", onError: () => "unknown" };
    for (const [effect, recovered] of [
      ["possible", true],
      ["none", false],
    ] as const) {
      const idempotency = bench.idempotency(options);
      await rejection(idempotency.run("k", () => Promise.reject(new Error("?"))));
      await idempotency.resolve("k", { kind: "released", effect });
      expect(await seen(idempotency)).toBe(recovered);
    }
  });

  it("I8 counter-test: a store that deletes the record on a throw cannot tell the next attempt", async () => {
    const key = uniqueName();
    await bench.redis.set(key, "running", "NX");
    await bench.redis.del(key);
    expect(await bench.redis.set(key, "running", "NX")).toBe("OK");
  });
});
