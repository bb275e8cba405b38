/** What follows the program in EVALSHA: the number of keys, keys and arguments in the order of the script's header. */
import type { CommandArgument } from "./redis-like.ts";
import type { LuaSource } from "./script.ts";

/** The arguments that the connection fills in: the bound (K1), and a server time no later than the moment the caller asked. */
export interface ServerTimes {
  readonly notAfterUs: number;
  readonly sentUs: number;
}

/** The key whose slot and node the script goes to: the first. */
export function slotKeyOf(source: LuaSource, keys: object): string {
  const named = keys as Readonly<Record<string, string | readonly string[]>>;
  const [first] = source.keys;
  return (first === undefined ? named[source.restKeys as string]?.[0] : named[first]) as string;
}

/** Puts named keys and arguments in their places. */
export function commandTail(source: LuaSource, keys: object, args: object, times: ServerTimes): CommandArgument[] {
  const namedKeys = keys as Readonly<Record<string, string & readonly string[]>>;
  const named = args as Readonly<Record<string, CommandArgument | readonly CommandArgument[]>>;
  const restKeys = source.restKeys === undefined ? undefined : (namedKeys[source.restKeys] as readonly string[]);
  const tail: CommandArgument[] = [source.keys.length + (restKeys?.length ?? 0)];
  for (const name of source.keys) tail.push(namedKeys[name] as string);
  if (restKeys !== undefined) tail.push(...restKeys);
  for (const name of source.args) {
    if (name === "notAfterUs" || name === "sentUs") tail.push(times[name]);
    else tail.push(named[name] as CommandArgument);
  }
  return source.rest === null ? tail : tail.concat(named[source.rest] as readonly CommandArgument[]);
}
