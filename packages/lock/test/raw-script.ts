/** Runs an embedded script as a raw EVAL, with keys and arguments by name: for tests of what a script does, not of its wrapper. */
import type { Redis } from "ioredis";
import type { LuaSource } from "@holdfast/core";

/** Inputs by name; `notAfterUs` is a minute from now unless it is given. */
export type RawInputs = Readonly<Record<string, string | number>>;

/** @returns the raw reply: a text or a list */
export async function runRaw(
  redis: Redis,
  source: LuaSource,
  keys: Readonly<Record<string, string>>,
  inputs: RawInputs,
): Promise<unknown> {
  const [seconds] = await redis.time();
  const all: RawInputs = { notAfterUs: (Number(seconds) + 60) * 1_000_000, ...inputs };
  const given = (values: RawInputs, name: string): string | number => {
    const value = values[name];
    if (value === undefined) throw new Error(`${source.name} needs ${name}`);
    return value;
  };
  const keyList = source.keys.map((name) => given(keys, name));
  const argList = source.args.map((name) => given(all, name));
  return redis.eval(source.source, keyList.length, ...keyList, ...argList);
}
