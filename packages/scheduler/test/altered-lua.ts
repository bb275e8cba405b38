/** For counter-tests: runs a test with one guard of a Lua script taken out, in this process only. */
import { createHash } from "node:crypto";

interface Alterable {
  source: string;
  sha1: string;
}

/**
 * Replaces a part of a script while `run` runs.
 * @throws Error when the part is not there, so that a counter-test cannot lose its object
 */
export async function withAlteredLua<Value>(
  script: { readonly source: string; readonly sha1: string },
  part: string,
  replacement: string,
  run: () => Promise<Value>,
): Promise<Value> {
  const alterable = script as Alterable;
  const { source, sha1 } = script;
  if (!source.includes(part)) throw new Error(`the script does not contain ${JSON.stringify(part)}`);
  alterable.source = source.replaceAll(part, replacement);
  alterable.sha1 = createHash("sha1").update(alterable.source).digest("hex");
  try {
    return await run();
  } finally {
    Object.assign(alterable, { source, sha1 });
  }
}
