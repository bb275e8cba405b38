/**
 * Guards for anything that a Lua script can do: the user's script and the check of the token are one script, hence one step. A repeat of
 * the same operation is answered with the first reply and does nothing, so that a counter is not raised twice (K1).
 */
import { createHash } from "node:crypto";
import { slotOf, text } from "@holdfast/core";
import type { Fenced, LuaSource, RedisLike } from "@holdfast/core";
import { fencedCall } from "../scripts.generated.ts";
import { fenceKeys } from "./fence-keys.ts";
import { guardedCall, guardScript } from "./guarded-call.ts";
import { checkFenced, resolveGuardOptions, tokenText } from "./options.ts";
import type { GuardOptions } from "./options.ts";

/** A script of yours. */
export interface FencedScriptDefinition<Key extends string, Arg extends string> {
  /** For messages: `ledger.add`. */
  readonly name: string;
  /** Names of its keys, at least one; the first one's slot is that of all. `KEYS[1]` in the text is the first. */
  readonly keys: readonly [Key, ...Key[]];
  /** Names of its arguments; `ARGV[1]` in the text is the first. */
  readonly args?: readonly Arg[] | undefined;
  /** Its text. It checks everything before it writes, since Redis keeps what was written before an error. */
  readonly source: string;
}

/** Runs a fenced script. */
export type FencedScript<Key extends string, Arg extends string> = (
  redis: RedisLike,
  fenced: Fenced,
  keys: Readonly<Record<Key, string>>,
  args: Readonly<Record<Arg, string | number | Buffer>>,
  options?: GuardOptions,
) => Promise<unknown>;

/** Our keys and arguments stand in front of the user's. */
const ownKeys = fencedCall.keys.length;
const ownArgs = fencedCall.args.length;

function inputs(list: "KEYS" | "ARGV", names: readonly string[], own: number): string {
  return `{ ${names.map((_, index) => `${list}[${own + index + 1}]`).join(", ")} }`;
}

function sourceOf(name: string, keys: readonly string[], args: readonly string[], userText: string): LuaSource {
  const source = [
    `local function userScript(KEYS, ARGV)\n${userText}\nend`,
    `local userKeys, userArgs = ${inputs("KEYS", keys, ownKeys)}, ${inputs("ARGV", args, ownArgs)}`,
    fencedCall.source,
  ].join("\n");
  return {
    name: `fenced ${name}`,
    keys: [...fencedCall.keys, ...keys.map((key) => `user ${key}`)],
    args: [...fencedCall.args, ...args.map((arg) => `user ${arg}`)],
    rest: null,
    sha1: createHash("sha1").update(source).digest("hex"),
    source,
  };
}

function renamed<Value>(
  names: readonly string[],
  values: Readonly<Record<string, Value>>,
  field: string,
): Record<string, Value> {
  return Object.fromEntries(
    names.map((name) => {
      const value = values[name];
      if (value === undefined) throw new TypeError(`${field}.${name} is missing`);
      return [`user ${name}`, value];
    }),
  );
}

/**
 * Makes a Lua script run only if the token is not stale, atomically with the check.
 *
 * ```ts
 * const add = defineFencedScript({ name: "ledger.add", keys: ["ledger"], args: ["amount"], source: 'return redis.call("INCRBY", KEYS[1], ARGV[1])' });
 * const balance = await add(redis, hold, { ledger: "{ledger:7}" }, { amount: 5 });
 * ```
 * @returns a function that resolves to what the script returns, and throws StaleTokenError when it did not run, RedisRefusedError when the
 *   script raised or returned an error, for a repeat, too: it may have written before (`effect: "possible"`), unless it does not compile
 * @throws TypeError, RangeError
 */
export function defineFencedScript<const Key extends string, const Arg extends string = never>(
  definition: FencedScriptDefinition<Key, Arg>,
): FencedScript<Key, Arg> {
  const name = text("name", definition.name);
  const { keys: keyNames, args: argNames = [] } = definition;
  if (!Array.isArray(keyNames) || keyNames.length === 0)
    throw new RangeError("keys must name at least one key, got none");
  const userText = text("source", definition.source, 65_536);
  const source = sourceOf(name, keyNames, argNames, userText);
  const script = guardScript(source, (fields) => fields.list()[0] ?? null);
  return async (redis, fenced, keys, args, options = {}) => {
    const resolved = resolveGuardOptions(options);
    checkFenced(fenced, resolved.guardRetentionMs);
    const userKeys = renamed(keyNames, keys, "keys");
    const [first = "", ...others] = Object.values(userKeys).map((key) => text("keys", key, 1_024));
    const stray = others.find((key) => slotOf(key) !== slotOf(first));
    if (stray !== undefined) {
      throw new RangeError(
        `keys must share one Cluster slot, got ${JSON.stringify(first)} and ${JSON.stringify(stray)}: use a hash tag`,
      );
    }
    const own = fenceKeys(resolved.prefix, first, fenced.resource);
    return guardedCall(
      redis,
      name,
      fenced,
      script,
      { ...userKeys, fence: own.fence, first: own.first(resolved.operationId, `script ${name}`, [first, ...others]) },
      {
        ...renamed<string | number | Buffer>(argNames, args, "args"),
        token: tokenText(fenced.token),
        guardRetentionMs: resolved.guardRetentionMs,
        repeatWithinMs: resolved.repeatWithinMs,
      },
      resolved,
    );
  };
}
