/** One call of a guard's script: checks the token, runs the script, turns the refusal into a StaleTokenError. */
import { Connection, decodeTagged, defineScript, RedisRefusedError, replyErrorCode } from "@holdfast/core";
import type { Fenced, LuaSource, RedisLike, ReplyFields, Script, ScriptArgs, ScriptKeys } from "@holdfast/core";
import { refuseFormat } from "../newer-format.ts";
import { StaleTokenError } from "./stale-token-error.ts";
import type { ResolvedGuardOptions } from "./options.ts";

type Verdict<Result> =
  | { readonly kind: "done"; readonly result: Result }
  | { readonly kind: "superseded" | "too-old"; readonly highest: number }
  | { readonly kind: "failed"; readonly error: string };

/**
 * Binds a guard's script to what it answers when the token is let through.
 * @param done reads the fields after the tag
 */
export function guardScript<const Source extends LuaSource, Result>(
  source: Source,
  done: (fields: ReplyFields) => Result,
): Script<Source, Verdict<Result>> {
  return defineScript(source, (reply, operation) =>
    decodeTagged<Verdict<Result>>(operation, reply, {
      done: (fields) => ({ kind: "done", result: done(fields) }),
      stale: (fields) => ({ kind: "superseded", highest: fields.integer() }),
      "too-old": (fields) => ({ kind: "too-old", highest: fields.integer() }),
      failed: (fields) => ({ kind: "failed", error: fields.text() }),
      "newer-format": (fields) => refuseFormat(operation, fields.text()),
    }),
  );
}

/** @throws StaleTokenError, RedisRefusedError when a user's script failed, and what `Connection.run` throws */
export async function guardedCall<const Source extends LuaSource, Result>(
  redis: RedisLike,
  verb: string,
  fenced: Fenced,
  script: Script<Source, Verdict<Result>>,
  keys: ScriptKeys<Source>,
  args: ScriptArgs<Source>,
  options: ResolvedGuardOptions,
): Promise<Result> {
  const { clock, operationId, commandTimeoutMs: timeoutMs, durability } = options;
  const operation = `guard.${verb} ${fenced.resource}`;
  const connection = Connection.of(redis, clock);
  const call = { operation, operationId, timeoutMs, durability };
  // A refusal has written nothing that replicas could lack.
  const wrote = ({ kind }: Verdict<Result>): boolean => kind === "done" || kind === "failed";
  const verdict = await connection.runConfirmed(script, keys, args, call, wrote);
  if (verdict.kind === "done") return verdict.result;
  if (verdict.kind === "failed") {
    const { error } = verdict;
    // Whatever the code says of a command that a client sends: this one came from inside a script that may have written before.
    throw new RedisRefusedError(operation, replyErrorCode(error), error, "possible", { cause: new Error(error) });
  }
  throw new StaleTokenError(fenced.resource, fenced.token, verdict.highest, verdict.kind);
}
