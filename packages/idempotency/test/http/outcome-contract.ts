/** The contract's part on outcomes: duplicates, disconnects, errors, statuses, and what is not kept. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import type { IdempotencyEvent } from "../../src/index.ts";
import { expectProblem } from "./http-bench.ts";
import type { HttpBench } from "./http-bench.ts";

/** Adds the tests to an adapter's suite. */
export function outcomeContract(framework: string, http: HttpBench): void {
  describe(`${framework}: concurrent duplicates`, () => {
    it("I1 run once: the others hear 409 with Retry-After", async () => {
      await http.listen();
      const all = Array.from({ length: 20 }, () => http.send("/slow"));
      await http.slow.entered;
      await pollUntil("the others are answered", async () => {
        const early = await Promise.race([Promise.any(all), delay(5)]);
        return early !== undefined;
      });
      http.slow.open("done");
      const replies = await Promise.all(all);
      expect(
        replies.filter(({ status, headers }) => status === 200 && headers["idempotency-replayed"] === undefined),
      ).toHaveLength(1);
      const busy = replies.filter(({ status }) => status === 409);
      expect(busy.length).toBeGreaterThanOrEqual(1);
      for (const reply of busy) {
        expectProblem(reply, 409, "in-progress");
        expect(Number(reply.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      }
      expect(http.effects).toEqual(["/slow"]);
    });

    it("I1 wait when they may, and get the same answer", async () => {
      await http.listen({ waitMs: 60_000 });
      const all = Array.from({ length: 20 }, () => http.send("/slow"));
      await http.slow.entered;
      await delay(50);
      http.slow.open("done");
      const replies = await Promise.all(all);
      expect(new Set(replies.map(({ status, body }) => `${status} ${body.toString()}`))).toEqual(
        new Set(['200 {"said":"done"}']),
      );
      expect(replies.filter(({ headers }) => headers["idempotency-replayed"] === "true")).toHaveLength(19);
      expect(http.effects).toEqual(["/slow"]);
    });
  });

  describe(`${framework}: clients that disconnect`, () => {
    it("never abort an attempt: it ends, is stored, and the retry gets its answer", async () => {
      const idempotency = await http.listen();
      const first = http.open("/slow");
      first.reply.catch(() => undefined);
      await http.slow.entered;
      first.abort();
      await delay(50);
      http.slow.open("nobody was there");
      await pollUntil(
        "the outcome is stored",
        async () => (await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind === "completed",
      );
      const again = await http.send("/slow");
      expect(again.headers["idempotency-replayed"]).toBe("true");
      expect(again.body.toString()).toBe('{"said":"nobody was there"}');
      expect(http.effects).toEqual(["/slow"]);
    });

    it("before a stream begins: the attempt ends, and the retry does not run", async () => {
      const idempotency = await http.listen();
      const first = http.open("/late-stream");
      first.reply.catch(() => undefined);
      await http.slow.entered;
      first.abort();
      await delay(50);
      http.slow.open("nobody was there");
      await pollUntil(
        "the outcome is stored",
        async () => (await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind === "completed",
      );
      expectProblem(await http.send("/late-stream"), 409, "response-not-stored");
      expect(http.effects).toEqual(["/late-stream"]);
    });

    it("end their waiting for another attempt, and nothing else", async () => {
      await http.listen({ waitMs: 60_000 }, { leaseMs: 600_000 });
      const first = http.send("/slow");
      await http.slow.entered;
      const waiting = http.open("/slow");
      waiting.reply.catch(() => undefined);
      await pollUntil("it waits", async () => (await http.bench.redis.pubsub("CHANNELS")).length === 1);
      waiting.abort();
      await pollUntil("it does not wait", async () => (await http.bench.redis.pubsub("CHANNELS")).length === 0);
      http.slow.open("done");
      expect((await first).status).toBe(200);
      expect(http.effects).toEqual(["/slow"]);
    });
  });

  describe(`${framework}: handlers that throw`, () => {
    it("I8 before the effect: the key is free, also for another payload, and nothing is recovered", async () => {
      await http.listen();
      expect((await http.send("/before", "k")).status).toBe(500);
      const again = await http.send("/before?again", "k");
      expect(JSON.parse(again.body.toString())).toMatchObject({ number: 2, recovered: false });
    });

    it("I8 after the effect: the framework's answer goes out, and the retry runs and is told", async () => {
      await http.listen();
      const first = await http.send("/after");
      expect(first.status).toBe(500);
      expect(first.headers["idempotency-replayed"]).toBeUndefined();
      const again = await http.send("/after");
      expect(JSON.parse(again.body.toString())).toMatchObject({ number: 2, recovered: true });
      expect((await http.send("/after")).headers["idempotency-replayed"]).toBe("true");
    });

    it("with a timeout: 504, the key stays closed for a lease, then the retry recovers with the same downstream key", async () => {
      await http.listen();
      const first = await http.send("/timeout");
      expectProblem(first, 504, "outcome-unknown");
      expect(Number(first.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      const early = await http.send("/timeout");
      expectProblem(early, 409, "in-progress");
      await http.bench.lapse();
      const late = await http.send("/timeout");
      expect(late.status).toBe(200);
      expect(JSON.parse(late.body.toString())).toMatchObject({ number: 2, recovered: true });
      expect(http.effects).toEqual(["/timeout", "/timeout"]);
    });

    it("I8 in the middle of a body whose length was announced: the client hears of it, and the retry runs and is told", async () => {
      await http.listen();
      const broken = await http.send("/broken").then(
        ({ status, body }) => `${status} ${body.toString()}`,
        () => "closed",
      );
      expect(broken).toMatch(/^500 .*the source broke|^closed$/u);
      const again = await http.send("/broken");
      expect(JSON.parse(again.body.toString())).toMatchObject({ number: 2, recovered: true });
    });

    it("with onError store: what the client got is what a replay gives", async () => {
      await http.listen({}, { onError: () => "store" });
      const first = await http.send("/after");
      expect(first.status).toBe(500);
      const again = await http.send("/after");
      expect(again.status).toBe(500);
      expect(http.effects).toEqual(["/after"]);
    });
  });

  describe(`${framework}: statuses`, () => {
    it.each([400, 404, 409, 422])("stores %i", async (code) => {
      await http.listen();
      await http.send(`/status?code=${code}`);
      const again = await http.send(`/status?code=${code}`);
      expect({ status: again.status, replayed: again.headers["idempotency-replayed"] }).toEqual({
        status: code,
        replayed: "true",
      });
    });

    it.each([408, 504])(
      "I1 %i says that somebody may still be at work: 504, the key stays closed for a lease, then the retry recovers",
      async (code) => {
        await http.listen();
        expectProblem(await http.send(`/status?code=${code}`), 504, "outcome-unknown");
        expectProblem(await http.send(`/status?code=${code}`), 409, "in-progress");
        await http.bench.lapse();
        expectProblem(await http.send(`/status?code=${code}`), 504, "outcome-unknown");
        expect(http.effects).toEqual(["/status", "/status"]);
      },
    );

    it("stores 504 when the options, or onError, say so", async () => {
      for (const [key, options, settings] of [
        ["a", { stores: () => true }, {}],
        ["b", {}, { onError: () => "store" as const }],
      ] as const) {
        await http.listen(options, settings);
        expect((await http.send("/status?code=504", key)).body.toString()).toBe('{"attempt":1}');
        expect((await http.send("/status?code=504", key)).headers["idempotency-replayed"]).toBe("true");
        await http.close();
      }
    });

    it.each([425, 429, 500, 502, 503])("does not store %i: the next attempt runs", async (code) => {
      await http.listen();
      for (const attempt of [1, 2]) {
        const reply = await http.send(`/status?code=${code}`);
        expect({ status: reply.status, body: reply.body.toString() }).toEqual({
          status: code,
          body: JSON.stringify({ attempt }),
        });
        expect(reply.headers["idempotency-replayed"]).toBeUndefined();
      }
    });

    it("never stores 429 and 503, whatever the options say, and stores 500 when they do", async () => {
      await http.listen({ stores: () => true });
      for (const code of [429, 503]) {
        await http.send(`/status?code=${code}`, `k${code}`);
        expect((await http.send(`/status?code=${code}`, `k${code}`)).headers["idempotency-replayed"]).toBeUndefined();
      }
      await http.send("/status?code=500", "k500");
      expect((await http.send("/status?code=500", "k500")).headers["idempotency-replayed"]).toBe("true");
    });
  });

  describe(`${framework}: bodies that are not kept`, () => {
    it("a stream is passed through as it comes; a repetition is refused by type, and does not run", async () => {
      await http.listen();
      const first = await http.send("/stream");
      expect({ status: first.status, body: first.body.toString() }).toEqual({ status: 200, body: "one,two,three" });
      for (let retry = 0; retry < 2; retry += 1) expectProblem(await http.send("/stream"), 409, "response-not-stored");
      expect(http.effects).toEqual(["/stream"]);
    });

    it("a body beyond the cap is passed through; a repetition is refused by type, and does not run", async () => {
      await http.listen({}, { resultBytesMax: 4_096 });
      const first = await http.send("/big");
      expect(first.body).toEqual(Buffer.alloc(5_000, "x"));
      const again = await http.send("/big");
      expectProblem(again, 409, "response-not-stored");
      expect(http.effects).toEqual(["/big"]);
    });
  });

  describe(`${framework}: a store that is down`, () => {
    it("answers 503 with Retry-After and runs nothing; with whenUnreachable open it runs", async () => {
      const { proxy, redis } = await http.bench.proxied();
      await proxy.refuse();
      proxy.reset();
      for (const whenUnreachable of ["closed", "open"] as const) {
        const idempotency = http.bench.idempotency({ commandTimeoutMs: 100, whenUnreachable }, redis);
        await http.serve(idempotency);
        const reply = await http.send("/create");
        if (whenUnreachable === "closed") {
          expectProblem(reply, 503, "store-unavailable");
          expect(http.effects).toEqual([]);
        } else {
          expect(reply.status).toBe(201);
          expect(http.effects).toEqual(["/create"]);
        }
        await http.close();
      }
    });
  });

  describe(`${framework}: an outcome that too few replicas have`, () => {
    it("is what the client gets, and a replay gives, and is told to the observer", async () => {
      const { host, port } = http.bench.server;
      await using replica = await RedisServer.start({ config: { replicaof: `${host} ${port}` } });
      await pollUntil("it replicates", async () =>
        (await http.bench.redis.info("replication")).includes("state=online"),
      );
      const told: string[] = [];
      const onEvent = ({ type }: IdempotencyEvent): unknown => told.push(type);
      await http.listen({}, { durability: { replicas: 1, timeoutMs: 1_500 }, onEvent });
      const first = http.send("/slow");
      await Promise.race([http.slow.entered, first]);
      replica.pause();
      http.slow.open("done");
      expect((await first).body.toString()).toBe('{"said":"done"}');
      expect(told).toEqual(["started", "not-replicated"]);
      replica.resume();
      const again = await http.send("/slow");
      expect({ body: again.body.toString(), replayed: again.headers["idempotency-replayed"] }).toEqual({
        body: '{"said":"done"}',
        replayed: "true",
      });
    });
  });

  describe(`${framework}: many requests`, () => {
    it("a hundred requests under ten keys run ten times and answer the same per key", async () => {
      await http.listen({ waitMs: 60_000 });
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          http.send("/attempt", `k${index % 10}`, { body: `{"i":${index % 10}}` }),
        ),
      );
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
      expect(new Set(replies.map(({ body }) => body.toString())).size).toBe(10);
      expect(http.effects).toHaveLength(10);
    });
  });
}
