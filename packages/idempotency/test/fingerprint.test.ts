import { Readable } from "node:stream";
import { runInNewContext } from "node:vm";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FingerprintMismatchError } from "../src/index.ts";
import { canonicalOfText, canonicalOfValue } from "../src/canonical-json.ts";
import { fingerprintOf } from "../src/fingerprint.ts";
import { KeyLayout } from "../src/keys.ts";
import { rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();
const of = (payload: unknown): string => fingerprintOf("r", payload);

/** Writes a value as JSON with its keys in another order and white space everywhere. */
function scrambled(value: unknown): string {
  if (Array.isArray(value)) return `[ ${value.map(scrambled).join(" ,\n")} ]`;
  if (typeof value !== "object" || value === null) return ` ${JSON.stringify(value)} `;
  const entries = Object.entries(value).toReversed();
  return `{${entries.map(([name, item]) => `\t${JSON.stringify(name)} : ${scrambled(item)}`).join(",")}}`;
}

describe("I7 fingerprints", () => {
  it("I7 ignore the order of JSON keys and white space, in values, texts and bytes", () => {
    const one = { amount: 100, to: { iban: "X", name: "é" }, list: [1, { a: 1, b: 2 }] };
    const other = { list: [1, { b: 2, a: 1 }], to: { name: "é", iban: "X" }, amount: 100 };
    const forms = [one, other, JSON.stringify(one), scrambled(one), Buffer.from(scrambled(other))];
    expect(new Set(forms.map(of)).size).toBe(1);
  });

  it("I7 agree for a value and any spelling of it", () => {
    const property = fc.property(fc.jsonValue({ depthSize: "small" }), (value) => {
      const plain = JSON.parse(JSON.stringify(value)) as unknown;
      if (typeof plain !== "object" || plain === null) return;
      expect(canonicalOfText(scrambled(plain))).toBe(canonicalOfValue(plain));
    });
    fc.assert(property, { numRuns: 300 });
  });

  it("I7 differ for different values", () => {
    const property = fc.property(
      fc.jsonValue({ depthSize: "small" }),
      fc.jsonValue({ depthSize: "small" }),
      (left, right) => {
        const same = scrambledEqual(left, right);
        expect(canonicalOfValue(left) === canonicalOfValue(right)).toBe(same);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  it("I7 cover digits that JSON would lose", () => {
    expect(of('{"amount":12345678901234567890}')).not.toBe(of('{"amount":12345678901234567891}'));
    expect(of(Buffer.from('{"a":0.1}'))).not.toBe(of(Buffer.from('{"a":0.10000000000000000001}')));
    expect(of('{"a":1e400}')).not.toBe(of('{"a":2e400}'));
    expect(of({ a: 12345678901234567890n })).toBe(of('{"a":12345678901234567890}'));
    for (const spelling of ["100", "1e2", "100.0", "1.00E+2"]) expect(of(`{"a":${spelling}}`)).toBe(of({ a: 100 }));
    expect(of("[-0]")).toBe(of([0]));
  });

  it("I7 counter-test: a hash of parsed JSON takes two amounts for one, and one body for two", () => {
    const parsed = (text: string): string => JSON.stringify(JSON.parse(text));
    expect(parsed('{"amount":12345678901234567890}')).toBe(parsed('{"amount":12345678901234567891}'));
    expect(parsed('{"a":1,"b":2}')).not.toBe(parsed('{"b":2,"a":1}'));
  });

  it("I7 keep bytes and texts that are no JSON as they are", () => {
    const texts = ["a", "a ", "[1", "[1,]", '{"a":1} x', '{"a":"\u0001"}', "{'a':1}", "[01]", '["\\x"]', ""];
    expect(new Set(texts.map(of)).size).toBe(texts.length);
    expect(of(Buffer.from([0x7b, 0xff, 0x7d]))).not.toBe(of(Buffer.from([0x7b, 0xfe, 0x7d])));
    expect(of("a")).toBe(of(Buffer.from("a")));
    expect(of("[".repeat(100_000))).toHaveLength(43);
  });

  it("I7 keep what equal names say, in their order", () => {
    expect(of('{"a":1,"a":2}')).not.toBe(of('{"a":2}'));
    expect(of('{"a":1,"a":2}')).not.toBe(of('{"a":2,"a":1}'));
    expect(of('{"__proto__":1}')).not.toBe(of("{}"));
  });

  class Money {
    readonly #amount: number;
    constructor(amount: number) {
      this.#amount = amount;
    }
    get amount(): number {
      return this.#amount;
    }
  }

  class Query {
    readonly sql = "select 1";
    // oxlint-disable-next-line unicorn/no-thenable -- as the queries of many libraries have it
    then(): void {
      expect.unreachable();
    }
  }

  it.each<[string, unknown]>([
    ["Map", new Map([[1, 1]])],
    ["Set", new Set()],
    ["WeakSet", new WeakSet()],
    ["function", () => 1],
    ["symbol", Symbol("s")],
    ["Float64Array", new Float64Array(1)],
    ["DataView", new DataView(new ArrayBuffer(1))],
    ["ArrayBuffer", new ArrayBuffer(1)],
    ["Promise", Promise.resolve({ amount: 1 })],
    ["Query", new Query()],
    ["URLSearchParams", new URLSearchParams("amount=1")],
    ["FormData", new FormData()],
    ["Headers", new Headers({ a: "1" })],
    ["Request", new Request("http://localhost/")],
    ["Blob", new Blob(["1"])],
    ["ReadableStream", new Blob(["1"]).stream()],
    ["Readable", Readable.from(["1"])],
    ["Generator", (function* all() {})()],
    ["RangeError", Object.assign(new RangeError("1"), { code: 1 })],
    ["RegExp", /1/u],
    ["Number", Object(1)],
    ["String", Object("1")],
    ["Money", new Money(1)],
    ["NaN", Number.NaN],
    ["Infinity", Infinity],
  ])("I7 refuse a %s, which would equal anything", (name, value) => {
    expect(() => of(value)).toThrow(TypeError);
    expect(() => of(value)).toThrow(name);
    expect(() => of({ deep: [value] })).toThrow(TypeError);
  });

  it("I7 take objects of classes by what they show, and empty ones of JSON", () => {
    class Order {
      readonly id = 1;
    }
    expect(of(new Order())).toBe(of({ id: 1 }));
    expect(of({ at: new Date(0) })).toBe(of({ at: "1970-01-01T00:00:00.000Z" }));
    const empty = [{}, Object.create(null) as object, runInNewContext("({})") as object];
    for (const each of empty) expect(of(each)).toBe(of("{}"));
  });

  it("read a number of a million zeros that a client has sent, in time that grows with its length alone", () => {
    const zeros = "0".repeat(1_000_000);
    expect(canonicalOfText(`[1${zeros}1]`)).toBe(`[1${zeros}1e0]`);
    expect(canonicalOfText(`[1${zeros}]`)).toBe("[1e1000000]");
  });

  it("refuse a cycle", () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => of(cycle)).toThrow(/circular/u);
  });

  it("I7 never mix tenants, keys or names", () => {
    const layout = (name: string): KeyLayout => new KeyLayout("holdfast", name);
    const places = [
      layout("a").place({ key: "c", tenant: "b" }),
      layout("a:b").place({ key: "c" }),
      layout("a").place({ key: "b:c" }),
      layout("a").place({ key: ":c", tenant: "b" }),
      layout("a").place({ key: "c", tenant: "b:" }),
      layout("a").place({ key: "{b}:c" }),
      layout("a").place({ key: "%7Bb%7D:c" }),
    ];
    expect(new Set(places.map(({ resource }) => resource)).size).toBe(places.length);
    expect(new Set(places.map(({ record }) => record)).size).toBe(places.length);
    expect(new Set(places.map(({ resource }) => fingerprintOf(resource, {}))).size).toBe(places.length);
    expect(new Set(places.map((place) => layout("a").downstreamKey(place))).size).toBe(places.length);
  });

  it("I7 a tenant that guesses another's key gets neither its result nor its payload's secret", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run({ key: "guessable", tenant: "a" }, { fingerprint: 1 }, () => "secret of a");
    const { value, replayed } = await idempotency.run(
      { key: "guessable", tenant: "b" },
      { fingerprint: 2 },
      () => "b's",
    );
    expect({ value, replayed }).toEqual({ value: "b's", replayed: false });
    expect(await idempotency.run("guessable", () => "nobody's")).toMatchObject({ value: "nobody's", replayed: false });
    const other = bench.idempotency({}, undefined, uniqueName());
    expect(await other.run({ key: "guessable", tenant: "a" }, () => "other")).toMatchObject({ replayed: false });
  });

  it("I7 compare only where both calls say a payload", async () => {
    const idempotency = bench.idempotency();
    await idempotency.run("k", { fingerprint: { a: 1 } }, () => 1);
    expect(await idempotency.run("k", () => 2)).toMatchObject({ value: 1 });
    expect(await rejection(idempotency.run("k", { fingerprint: null }, () => 2))).toBeInstanceOf(
      FingerprintMismatchError,
    );
  });
});

function scrambledEqual(left: unknown, right: unknown): boolean {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;
  try {
    expect(plain(left)).toEqual(plain(right));
    return true;
  } catch {
    return false;
  }
}
