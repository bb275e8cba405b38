import { describe, expect, it } from "vitest";
import { positive, wholeFrom } from "../src/program.ts";

describe("a number on the command line", () => {
  it("is read", () => {
    expect(["1", "0.5", "1e3"].map(positive)).toEqual([1, 0.5, 1_000]);
    expect(["0", "1", "0042"].map(wholeFrom(0))).toEqual([0, 1, 42]);
    expect(wholeFrom(1)("7")).toBe(7);
  });

  it.each(["", "abc", "-1", "0", "Infinity", "NaN"])("above 0 is not %j", (word) => {
    expect(() => positive(word)).toThrow("a number above 0");
  });

  it.each(["", "abc", "-1", "0", "0.5", "1e3", "9007199254740993"])("that is whole and 1 or more is not %j", (word) => {
    expect(() => wholeFrom(1)(word)).toThrow("a whole number, 1 or more");
  });
});
