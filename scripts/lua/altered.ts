/** For the counter-tests of packages: runs a test with one guard of a Lua script taken out, in this process only. */
import { createHash } from "node:crypto";

/** A generated script. */
interface Source {
  readonly name: string;
  readonly source: string;
  readonly sha1: string;
}

/**
 * Replaces a part of a script while `run` runs.
 * @throws Error when the part is not there, so that a counter-test cannot lose its object
 */
export async function withAlteredLua<Value>(
  script: Source,
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
