/** The Lua files of test/scripts as scripts, with the shared fragments in the place of their includes. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineScript, type Script } from "../src/index.ts";

const fragments = join(import.meta.dirname, "../src/scripts/shared");

interface TestSource<Keys extends readonly string[], Args extends readonly string[]> {
  readonly name: string;
  readonly keys: Keys;
  readonly args: Args;
  readonly rest: null;
  readonly sha1: string;
  readonly source: string;
}

/** The text of a test script, its includes in place. */
export function testSource(name: string): string {
  const text = readFileSync(join(import.meta.dirname, "scripts", `${name}.lua`), "utf8");
  return text.replaceAll(/^-- @include (\S+)$/gm, (_, fragment: string) =>
    readFileSync(join(fragments, `${fragment}.lua`), "utf8").trimEnd(),
  );
}

/** A script whose reply is not decoded: a tag and fields. */
export function testScript<const Keys extends readonly string[], const Args extends readonly string[]>(
  name: string,
  keys: Keys,
  args: Args,
): Script<TestSource<Keys, Args>, unknown[]> {
  const source = testSource(name);
  const sha1 = createHash("sha1").update(source).digest("hex");
  return defineScript({ name: `test.${name}`, keys, args, rest: null, sha1, source }, (reply) => reply as unknown[]);
}

/** Adds one to a counter, once per operation. */
export const apply: Script<
  TestSource<readonly ["count", "record"], readonly ["notAfterUs", "operationId"]>,
  unknown[]
> = testScript("apply", ["count", "record"], ["notAfterUs", "operationId"]);
/** Reads a key. */
export const peek: Script<TestSource<readonly ["value"], readonly []>, unknown[]> = testScript("peek", ["value"], []);
