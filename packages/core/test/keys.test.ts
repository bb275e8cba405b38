/** Key names: no two resources share a key, and all keys of a resource share a slot, as Redis counts slots. */
import { RedisServer } from "@holdfast/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkPrefix, keySpace, slotOf } from "../src/index.ts";

const name = fc
  .oneof(
    fc.string({ minLength: 1 }),
    fc.string({ unit: fc.constantFrom("{", "}", "%", ":", "7", "B", "a"), minLength: 1 }),
  )
  .filter((text) => text.isWellFormed() && Buffer.byteLength(text) <= 256);
const prefix = fc.string({ unit: fc.constantFrom(":", "a", "b", "%"), minLength: 1, maxLength: 6 });
const part = fc.string({ unit: fc.constantFrom(":", "a", "b"), minLength: 1, maxLength: 4 });

describe("keys", () => {
  it("look as documented, with %, { and } encoded", () => {
    const space = keySpace("holdfast", "lock", "invoice:42");
    expect(space.resource).toBe("lock:invoice:42");
    expect(space.key("lease")).toBe("holdfast:{lock:invoice:42}:lease");
    expect(keySpace("p", "lock", "a{b}%").key("lease")).toBe("p:{lock:a%7Bb%7D%25}:lease");
  });

  it("of two names, prefixes or parts never collide", () => {
    const address = fc.tuple(prefix, name, part);
    fc.assert(
      fc.property(address, address, (a, b) => {
        const keyOf = ([head, resource, tail]: typeof a): string => keySpace(head, "lock", resource).key(tail);
        expect(keyOf(a) === keyOf(b)).toBe(String(a) === String(b) && a.every((text, index) => text === b[index]));
      }),
      { numRuns: 3_000 },
    );
  });

  it("of one resource share a slot, that of its slot key", () => {
    fc.assert(
      fc.property(prefix, name, part, part, (head, resource, a, b) => {
        const space = keySpace(head, "timer", resource);
        expect(slotOf(space.key(a))).toBe(slotOf(space.key(b)));
        expect(slotOf(space.slotKey)).toBe(slotOf(space.key(a)));
      }),
    );
  });

  it.each([
    ["no name", "", /name must be a string of 1 to 256 bytes, got 0 bytes/],
    ["too long a name", "x".repeat(257), /name must be a string of 1 to 256 bytes, got 257 bytes/],
    ["a lone surrogate, of which two would become one key", "a\udfff", /name must be well-formed Unicode/],
  ])("refuse %s", (_, resource, message) => {
    expect(() => keySpace("holdfast", "lock", resource)).toThrow(message);
  });

  it("refuse a prefix with a brace", () => {
    expect(() => checkPrefix("a}")).toThrow('prefix must not contain { or }, got "a}"');
    expect(checkPrefix("a:b")).toBe("a:b");
  });
});

describe("slots", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ config: { "cluster-enabled": "yes" } });
  });
  afterAll(() => server.stop());

  it("are those of CLUSTER KEYSLOT, for any key", async () => {
    const key = fc.oneof(
      fc.string({ maxLength: 40 }).filter((text) => text.isWellFormed()),
      fc.string({ unit: fc.constantFrom("{", "}", "a", "é", "\n", "😀"), maxLength: 12 }),
    );
    const keys = fc.sample(key, { numRuns: 400, seed: 7 });
    keys.push("", "{}", "{}a", "{}{a}", "a{b}c", "a{{b}}c", "{a", "a}", "123456789");
    const slots = await Promise.all(keys.map((each) => server.call("CLUSTER", "KEYSLOT", each)));
    expect(keys.map((each) => slotOf(each))).toEqual(slots.map(Number));
    expect(slotOf("123456789")).toBe(12_739);
  });
});
