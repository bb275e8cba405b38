/** Strict decoding: anything unexpected is an error that says what came, never a guess. */
import { describe, expect, it } from "vitest";
import { decodeTagged, ReplyFields, UnexpectedReplyError } from "../src/index.ts";

const decode = (reply: unknown): unknown =>
  decodeTagged<unknown>("lock.acquire invoice:42", reply, {
    granted: (fields) => ({ token: fields.integer(), owner: fields.textOrNull() }),
    lost: () => "lost",
  });

describe("a tagged reply", () => {
  it("is decoded by its tag, as text or as bytes", () => {
    expect(decode(["granted", "1700000000000001", "me"])).toEqual({ token: 1_700_000_000_000_001, owner: "me" });
    expect(decode(["granted", 5, null])).toEqual({ token: 5, owner: null });
    expect(decode([Buffer.from("granted"), Buffer.from("7"), Buffer.from("me")])).toEqual({ token: 7, owner: "me" });
    expect(decode(["lost"])).toBe("lost");
  });

  it.each<[string, unknown]>([
    ["another tag", ["stolen"]],
    ["a tag of every object", ["toString"]],
    ["no list", "granted"],
    ["nothing", null],
    ["an empty list", []],
    ["a field too few", ["granted"]],
    ["a field too many", ["lost", 1]],
    ["a fraction", ["granted", "1.5", null]],
    ["a number beyond 2^53", ["granted", "9007199254740993", null]],
    ["text for a number", ["granted", "12x", null]],
    ["a number for text", ["granted", 1, 2]],
    ["a bigint", [12n]],
    ["a long text", ["x".repeat(100_000)]],
  ])("that is %s is refused", (_, reply) => {
    let error: unknown;
    try {
      decode(reply);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UnexpectedReplyError);
    const { message } = error as Error;
    expect(message).toMatch(
      /^lock\.acquire invoice:42: expected .*, got .*; is the key used by another program or version\?$/s,
    );
    expect(message.length).toBeLessThan(500);
  });

  it("has fields of every kind", () => {
    const fields = new ReplyFields("op", [Buffer.from([0xff]), ["a"], "-3", Buffer.from("é")]);
    expect(fields.bytes()).toEqual(Buffer.from([0xff]));
    expect(fields.list()).toEqual(["a"]);
    expect(fields.integer()).toBe(-3);
    expect(fields.left).toBe(1);
    expect(() => fields.end()).toThrow(/expected no further field/);
    expect(fields.text()).toBe("é");
    expect(() => fields.end()).not.toThrow();
    expect(() => new ReplyFields("op", ["a"]).bytes()).toThrow(/expected bytes, got "a"/);
    expect(() => new ReplyFields("op", ["a"]).list()).toThrow(/expected a list, got "a"/);
  });
});
