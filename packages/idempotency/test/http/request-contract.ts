/** The contract's part on requests: which are guarded, how their keys and payloads are read, what a replay is. */
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { expectProblem } from "./http-bench.ts";
import type { HttpBench } from "./http-bench.ts";

/** Adds the tests to an adapter's suite. */
export function requestContract(framework: string, http: HttpBench): void {
  describe(`${framework}: replay`, () => {
    it("I6 replays status, body and allowed headers byte for byte, marked, and never cookies, hop-by-hop or other headers", async () => {
      await http.listen();
      const first = await http.send("/create");
      expect(first.status).toBe(201);
      expect(first.headers["set-cookie"]).toEqual(["session=secret"]);
      expect(first.headers["idempotency-replayed"]).toBeUndefined();
      const again = await http.send("/create");
      expect(again.status).toBe(201);
      expect(again.body).toEqual(first.body);
      expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: "/things/1" });
      expect(again.headers["content-type"]).toBe(first.headers["content-type"]);
      expect(again.headers["content-length"]).toBe(String(first.body.length));
      for (const name of ["set-cookie", "x-internal", "x-shown"]) expect(again.headers[name]).toBeUndefined();
      expect(http.effects).toEqual(["/create"]);
    });

    it("I6 replays binary and empty bodies", async () => {
      await http.listen();
      const first = await http.send("/bytes", '"a"', {
        body: http.bytes,
        headers: { "content-type": "application/octet-stream" },
      });
      expect(first.body).toEqual(http.bytes);
      const again = await http.send("/bytes", '"a"', {
        body: http.bytes,
        headers: { "content-type": "application/octet-stream" },
      });
      expect(again.body).toEqual(http.bytes);
      expect(again.headers["idempotency-replayed"]).toBe("true");
      for (const replayed of [undefined, "true"]) {
        const empty = await http.send("/nothing", '"b"');
        expect({ status: empty.status, length: empty.body.length }).toEqual({ status: 204, length: 0 });
        expect(empty.headers["idempotency-replayed"]).toBe(replayed);
      }
      expect(http.effects).toHaveLength(2);
    });

    it("I6 replays a header that stands several times, and the first answer has all of its cookies", async () => {
      await http.listen();
      const first = await http.send("/links");
      expect(first.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
      const again = await http.send("/links");
      expect(first.headers["link"]).toBe("</a>; rel=a, </b>; rel=b");
      expect(again.headers).toMatchObject({ "idempotency-replayed": "true", link: first.headers["link"] });
      expect(again.headers["set-cookie"]).toBeUndefined();
    });

    it.each([204, 205, 304])("I6 replays %i, which has no body", async (code) => {
      await http.listen();
      for (const replayed of [undefined, "true"]) {
        const { status, body, headers } = await http.send(`/empty?code=${code}`);
        expect({ status, length: body.length, replayed: headers["idempotency-replayed"] }).toEqual({
          status: code,
          length: 0,
          replayed,
        });
      }
    });

    it("replays the headers that the options name, and refuses to replay cookies and hop-by-hop ones", async () => {
      await http.listen({ replayHeaders: ["X-Shown"] });
      await http.send("/create");
      const again = await http.send("/create");
      expect(again.headers["x-shown"]).toBe("yes");
      expect(again.headers["location"]).toBeUndefined();
      for (const name of [
        "Set-Cookie",
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
      ]) {
        const refused = http.serve(http.bench.idempotency(), { replayHeaders: ["X-Shown", name] });
        await expect(refused).rejects.toThrow(`replayHeaders must not name ${name.toLowerCase()}`);
      }
    });

    it("answers HEAD with headers and without a body, first and replayed", async () => {
      await http.listen({ methods: ["HEAD"] });
      const first = await http.send("/create", '"k"', { method: "HEAD" });
      const again = await http.send("/create", '"k"', { method: "HEAD" });
      expect([first.status, again.status]).toEqual([201, 201]);
      expect([first.body.length, again.body.length]).toEqual([0, 0]);
      expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: "/things/1" });
      expect(http.effects).toEqual(["/create"]);
    });

    it("leaves other methods and routes alone, with a key and without", async () => {
      await http.listen();
      for (const key of ['"k"', null, "malformed key"]) {
        const got = await http.send("/plain", key, { method: "PUT" });
        expect(JSON.parse(got.body.toString())).toEqual({ guarded: false });
        const unguarded = await http.send("/open/x", key);
        expect(JSON.parse(unguarded.body.toString())).toEqual({ guarded: false });
      }
    });
  });

  describe(`${framework}: the key`, () => {
    it("is accepted quoted and bare, which are the same key", async () => {
      await http.listen();
      const first = await http.send("/create", '"8e03978e-40d5"');
      for (const form of ["8e03978e-40d5", ' "8e03978e-40d5" ', '"8e03978e-40d5";v=1']) {
        const again = await http.send("/create", form);
        expect(again.headers["idempotency-replayed"]).toBe("true");
        expect(again.body).toEqual(first.body);
      }
      expect(http.effects).toEqual(["/create"]);
    });

    it.each([
      ['""', "empty, quoted"],
      ["", "empty"],
      ['"open', "a quote that is not closed"],
      ["two words", "bare with a space"],
      ['"a", "b"', "a list"],
      [`"${"x".repeat(256)}"`, "over-long, quoted"],
      ["x".repeat(256), "over-long, bare"],
      ['"a\\x"', "a wrong escape"],
    ])("is refused with 400 when it is %s (%s)", async (form) => {
      await http.listen();
      expectProblem(await http.send("/create", form), 400, "idempotency-key-malformed");
      expect(http.effects).toEqual([]);
    });

    it("is refused with 400 when it comes twice, or not at all; without a need for it the request passes", async () => {
      await http.listen();
      expectProblem(await http.send("/create", ["a", "b"]), 400, "idempotency-key-malformed");
      expectProblem(await http.send("/create", null), 400, "idempotency-key-missing");
      expect(http.effects).toEqual([]);
      await http.close();
      await http.listen({ required: false });
      expect(JSON.parse((await http.send("/plain", null)).body.toString())).toEqual({ guarded: false });
      expect(JSON.parse((await http.send("/plain", "k")).body.toString())).toEqual({ guarded: true });
    });

    it("of 255 characters, with escapes, reaches the handler as it was meant", async () => {
      await http.listen();
      const key = `${"x".repeat(250)} \\"'~`;
      const { body } = await http.send("/attempt", `"${key.replace(/["\\]/g, "\\$&")}"`);
      expect(JSON.parse(body.toString())).toMatchObject({ key, tenant: "acme", number: 1, recovered: false });
    });

    it("I7 belongs to a tenant: another tenant's same key runs, and no tenant is refused with 400", async () => {
      await http.listen();
      await http.send("/create", "k", { tenant: "a" });
      const other = await http.send("/create", "k", { tenant: "b" });
      expect(other.headers["idempotency-replayed"]).toBeUndefined();
      expect(http.effects).toHaveLength(2);
      for (const tenant of ["", null])
        expectProblem(await http.send("/create", "k", { tenant }), 400, "tenant-missing");
      expect(http.effects).toHaveLength(2);
    });
  });

  describe(`${framework}: other payloads`, () => {
    it("I3 another body, path or query under the same key is 422, while the first runs and after", async () => {
      await http.listen();
      const first = http.send("/slow", "k", { body: '{"a":1}' });
      await http.slow.entered;
      expectProblem(await http.send("/slow", "k", { body: '{"a":2}' }), 422, "payload-mismatch");
      http.slow.open("hi");
      expect((await first).status).toBe(200);
      for (const path of ["/slow?x=1", "/create"])
        expectProblem(await http.send(path, "k", { body: '{"a":1}' }), 422, "payload-mismatch");
      expectProblem(await http.send("/slow", "k", { body: '{"a":2}' }), 422, "payload-mismatch");
    });

    it("I7 the same JSON in another order is the same payload, and a digit that JSON would lose is another", async () => {
      await http.listen();
      await http.send("/create", "k", { body: '{"amount":12345678901234567890,"b":{"x":1,"y":2}}' });
      const again = await http.send("/create", "k", { body: '{ "b": {"y":2,"x":1}, "amount":12345678901234567890 }' });
      expect(again.headers["idempotency-replayed"]).toBe("true");
      const other = await http.send("/create", "k", { body: '{"amount":12345678901234567891,"b":{"x":1,"y":2}}' });
      expectProblem(other, 422, "payload-mismatch");
    });

    it("I3 another method under the same key is 422", async () => {
      await http.listen({ methods: ["POST", "PUT"] });
      expect((await http.send("/create", "k", { body: "{}" })).status).toBe(201);
      expectProblem(await http.send("/create", "k", { body: "{}", method: "PUT" }), 422, "payload-mismatch");
      expect(http.effects).toEqual(["/create"]);
    });

    it("I3 are what the option fingerprint says, also as a promise, and what they are where it says nothing", async () => {
      const said: unknown[] = [{ amount: 1 }, { amount: 1 }, { amount: 1000 }, undefined];
      await http.listen({ fingerprint: async () => said.shift() });
      expect((await http.send("/create", "k", { body: '{"at":1}' })).status).toBe(201);
      const again = await http.send("/create", "k", { body: '{"at":2}' });
      expect(again.headers["idempotency-replayed"]).toBe("true");
      for (const body of ['{"at":1}', '{"at":2}'])
        expectProblem(await http.send("/create", "k", { body }), 422, "payload-mismatch");
      said.push(undefined, undefined);
      expect((await http.send("/create", "l", { body: '{"at":1}' })).status).toBe(201);
      expectProblem(await http.send("/create", "l", { body: '{"at":2}' }), 422, "payload-mismatch");
      expect(http.effects).toEqual(["/create", "/create"]);
    });

    it.each([Promise.resolve(1), new URLSearchParams("a=1"), new Map(), Number.NaN])(
      "I7 that the option fingerprint cannot tell apart run nothing: %s",
      async (said) => {
        await http.listen({ fingerprint: () => ({ said }) });
        expect((await http.send("/create", "k")).status).toBe(500);
        expect(http.effects).toEqual([]);
      },
    );

    it("I3 of a kind that nobody parses are told apart, or refused: none is taken for an empty one", async () => {
      await http.listen();
      const headers = { "content-type": "text/csv" };
      const [first, other] = [
        await http.send("/create", "k", { body: "amount,1", headers }),
        await http.send("/create", "k", { body: "amount,1000", headers }),
      ];
      expect([
        [201, 422],
        [415, 415],
      ]).toContainEqual([first.status, other.status]);
      expect(http.effects).toHaveLength(first.status === 201 ? 1 : 0);
      expect((await http.send("/create", "l", { headers })).status).toBe(201);
    });
  });

  describe(`${framework}: an upload that the client gives up`, () => {
    it.each(["application/json", "text/csv"])("of %s runs nothing, and the server lives on", async (type) => {
      await http.listen();
      const headers = { "content-type": type };
      const upload = http.open("/create", "k", { body: '{"amount":', headers, unfinished: true });
      const failed = upload.reply.then(
        () => "answered",
        () => "failed",
      );
      await delay(50);
      upload.abort();
      await failed;
      expect((await http.send("/create", "k", { body: "{}" })).status).toBe(201);
      expect(http.effects).toEqual(["/create"]);
    });
  });
}
