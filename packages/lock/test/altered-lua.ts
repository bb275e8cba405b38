/** For counter-tests: runs a test with one guard of a Lua script taken out, in this process only. */
import { createHash } from "node:crypto";
import type { LuaSource } from "@holdfast/core";

/**
 * Replaces a part of a script while `run` runs.
 * @throws Error when the part is not there, so that a counter-test cannot lose its object
 */
export async function withAlteredLua<Value>(
  script: LuaSource,
  part: string,
  replacement: string,
  run: () => Promise<Value>,
): Promise<Value> {
  const alterable: { source: string; sha1: string } = script;
  const { source, sha1 } = script;
  if (!source.includes(part)) throw new Error(`${script.name} does not contain ${JSON.stringify(part)}`);
  alterable.source = source.replaceAll(part, replacement);
  alterable.sha1 = createHash("sha1").update(alterable.source).digest("hex");
  try {
    return await run();
  } finally {
    Object.assign(alterable, { source, sha1 });
  }
}
