/**
 * Owns the form of `scripts.generated.ts`: one constant per Lua file with its names, its SHA-1 and its text.
 */
import { createHash } from "node:crypto";
import type { LuaHeader } from "./header.ts";

/** A script that is ready to be embedded. */
export interface EmbeddedScript {
  readonly packageName: string;
  readonly header: LuaHeader;
  readonly source: string;
}

/** The constant's name: `fire-now` becomes `fireNow`. */
export function constantName(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function template(text: string): string {
  return `\`${text.replace(/[\\`]|\$\{/g, (found) => `\\${found}`)}\``;
}

function list(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(", ")}]`;
}

function sentence(purpose: string): string {
  return `${purpose.charAt(0).toUpperCase()}${purpose.slice(1)}`.replaceAll("*/", "* /");
}

function render({ packageName, header, source }: EmbeddedScript): string {
  return [
    `/** ${sentence(header.purpose)} */`,
    `export const ${constantName(header.name)} = {`,
    `  name: ${JSON.stringify(`${packageName}.${header.name}`)},`,
    `  keys: ${list(header.keys)},`,
    ...(header.restKeys === null ? [] : [`  restKeys: ${JSON.stringify(header.restKeys)},`]),
    `  args: ${list(header.args)},`,
    `  rest: ${JSON.stringify(header.rest)},`,
    `  replies: ${list(header.replies)},`,
    `  sha1: ${JSON.stringify(createHash("sha1").update(source).digest("hex"))} as string,`,
    `  source: ${template(source)} as string,`,
    "} as const;",
    "",
  ].join("\n");
}

/** The text of a package's `scripts.generated.ts`; the order of the scripts is their names'. */
export function renderModule(scripts: readonly EmbeddedScript[]): string {
  const sorted = scripts.toSorted((a, b) => (a.header.name < b.header.name ? -1 : 1));
  return ["// Made by `pnpm generate` from src/scripts/*.lua. Change those.", "", ...sorted.map(render)].join("\n");
}
