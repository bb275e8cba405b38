/** What is sent of a script's named inputs, with variadic tails of keys and of arguments. */
import { expect, it } from "vitest";
import { commandTail, slotKeyOf } from "../src/command-tail.ts";
import type { LuaSource } from "../src/script.ts";

const source: LuaSource = {
  name: "test.many",
  keys: ["first"],
  restKeys: "others",
  args: ["notAfterUs", "size"],
  rest: "items",
  sha1: "",
  source: "",
};
const times = { notAfterUs: 7, sentUs: 5 };

it("puts fixed keys first, counts all of them, and ends with the variadic arguments", () => {
  const keys = { others: ["b", "c"], first: "a" };
  expect(commandTail(source, keys, { size: 2, items: ["x", "y"] }, times)).toEqual([3, "a", "b", "c", 7, 2, "x", "y"]);
  expect(slotKeyOf(source, keys)).toBe("a");
});

it("goes by the first of the variadic keys when there are no others", () => {
  const keys = { others: ["b", "c"] };
  expect(commandTail({ ...source, keys: [] }, keys, { size: 1, items: [] }, times)).toEqual([2, "b", "c", 7, 1]);
  expect(slotKeyOf({ ...source, keys: [] }, keys)).toBe("b");
});
