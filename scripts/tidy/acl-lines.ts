/**
 * The rule that the rights a README names are enough: each command that a script of the package calls stands there, in the ACL line or in
 * what it says to add (`+pttl`), also that of a branch which is rarely taken. Redis checks rights inside scripts, and refuses in the
 * middle of one.
 */
import type { LuaScript } from "../lua/embed.ts";
import { redisCommand, walkLua } from "../lua/walk.ts";

const ACL_LINE = /^ACL SETUSER /mu;
const GRANT = /\+[a-z]+/gu;

/** Commands that scripts call and the README does not grant. A package without scripts needs no line. */
export function aclProblems(readme: string, text: string, scripts: readonly LuaScript[]): string[] {
  const called = new Map<string, string>();
  for (const { file, expanded } of scripts) {
    walkLua(expanded.chunk, (node) => {
      const name = redisCommand(node)?.name.toLowerCase();
      // PUBLISH or SPUBLISH is handed in by the client.
      if (name !== undefined && name !== "") called.set(name, file);
    });
  }
  if (called.size === 0) return [];
  if (!ACL_LINE.test(text)) return [`${readme}: no line that begins with ACL SETUSER`];
  const granted = new Set(text.match(GRANT));
  return [...called].flatMap(([name, file]) =>
    granted.has(`+${name}`) ? [] : [`${readme}: nothing grants +${name}, which ${file} calls`],
  );
}
