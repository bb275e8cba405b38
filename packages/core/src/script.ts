/**
 * Typed Lua scripts. The generator reads names from the header of a `.lua` file; a call gives each key and argument by that name, so a
 * swapped pair does not compile. Replies are decoded strictly: anything unexpected is an error, never a guess.
 *
 * A script that changes something declares `notAfterUs`, its bound in server time (K1); one that must not undo what happened after its
 * caller asked declares `sentUs`, a server time no later than that moment. The connection fills both in.
 */
import { UnexpectedReplyError } from "./errors.ts";
import type { CommandArgument } from "./redis-like.ts";

/** A Lua script as the generator embeds it. */
export interface LuaSource {
  /** Package and file: `timer.schedule`. */
  readonly name: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** The name of the variadic tail of KEYS, if it has one: for records of many names, which share a slot where there are slots. */
  readonly restKeys?: string;
  /** The name of the variadic tail of ARGV, if it has one. */
  readonly rest: string | null;
  readonly sha1: string;
  readonly source: string;
}

/** Keys of a script by name, with the variadic tail as an array. */
export type ScriptKeys<Source extends LuaSource> = Readonly<Record<Source["keys"][number], string>> &
  (Source extends { readonly restKeys: infer Rest extends string }
    ? Readonly<Record<Rest, readonly string[]>>
    : unknown);

/** Arguments of a script by name, without those that the connection fills in, with the variadic tail as an array. */
export type ScriptArgs<Source extends LuaSource> = Readonly<
  Record<Exclude<Source["args"][number], "notAfterUs" | "sentUs">, CommandArgument>
> &
  (Source["rest"] extends string ? Readonly<Record<Source["rest"], readonly CommandArgument[]>> : unknown);

/** A script and the decoder of its replies. */
export interface Script<Source extends LuaSource, Result> {
  readonly source: Source;
  readonly mutating: boolean;
  /** Replies hold raw bytes (`Buffer`) where they would hold strings. */
  readonly binary: boolean;
  /** The tag of a reply with which the script says that it did nothing, for another reason than being late. */
  readonly nothingDone?: string | undefined;
  decode(reply: unknown, operation: string): Result;
}

/**
 * Binds a script to its decoder.
 * @param decode turns the raw reply into a result, throws UnexpectedReplyError otherwise
 * @param options nothingDone: the tag of a reply that says so; given to a request that the client may have sent twice, it is an
 *   OutcomeUnknownError, since the first one may have been executed (K1)
 */
export function defineScript<const Source extends LuaSource, Result>(
  source: Source,
  decode: (reply: unknown, operation: string) => Result,
  options: { readonly binary?: boolean; readonly nothingDone?: string } = {},
): Script<Source, Result> {
  const { binary = false, nothingDone } = options;
  return { source, decode, mutating: source.args.includes("notAfterUs"), binary, nothingDone };
}

function textOf(value: unknown): unknown {
  return Buffer.isBuffer(value) ? value.toString() : value;
}

/** Reads the fields of a reply in order; each read checks the type. */
export class ReplyFields {
  readonly #operation: string;
  readonly #values: readonly unknown[];
  #next = 0;

  constructor(operation: string, values: readonly unknown[]) {
    this.#operation = operation;
    this.#values = values;
  }

  /** Fields not yet read. */
  get left(): number {
    return this.#values.length - this.#next;
  }

  /** The next field as text; bytes are read as UTF-8. */
  text(): string {
    const value = textOf(this.#take());
    return typeof value === "string" ? value : this.#unexpected("a text", value);
  }

  /** The next field as text or null. */
  textOrNull(): string | null {
    const value = textOf(this.#take());
    return value === null || typeof value === "string" ? value : this.#unexpected("a text or nil", value);
  }

  /** The next field as raw bytes. */
  bytes(): Buffer {
    const value = this.#take();
    return Buffer.isBuffer(value) ? value : this.#unexpected("bytes", value);
  }

  /** The next field as a whole number within 2^53, from an integer reply or its decimal text. */
  integer(): number {
    const value = textOf(this.#take());
    const number = typeof value === "string" && /^-?\d{1,16}$/u.test(value) ? Number(value) : value;
    return typeof number === "number" && Number.isSafeInteger(number)
      ? number
      : this.#unexpected("a whole number", value);
  }

  /** The next field as a nested list. */
  list(): unknown[] {
    const value = this.#take();
    return Array.isArray(value) ? (value as unknown[]) : this.#unexpected("a list", value);
  }

  /** Checks that nothing is left. */
  end(): void {
    if (this.left !== 0) this.#unexpected("no further field", this.#values[this.#next]);
  }

  #take(): unknown {
    if (this.left === 0) this.#unexpected("a further field", this.#values);
    return this.#values[this.#next++];
  }

  #unexpected(expected: string, got: unknown): never {
    throw new UnexpectedReplyError(this.#operation, expected, got);
  }
}

/**
 * Decodes a tagged array (`{"granted", token}`): finds the branch for the tag, hands it the remaining fields and checks that it read
 * them all.
 * @throws UnexpectedReplyError
 */
export function decodeTagged<Result>(
  operation: string,
  reply: unknown,
  branches: Readonly<Record<string, (fields: ReplyFields) => Result>>,
): Result {
  const values = Array.isArray(reply) ? (reply as unknown[]) : [];
  const tag = textOf(values[0]);
  const branch = typeof tag === "string" && Object.hasOwn(branches, tag) ? branches[tag] : undefined;
  if (branch === undefined)
    throw new UnexpectedReplyError(operation, `one of ${Object.keys(branches).join(", ")}`, reply);
  const fields = new ReplyFields(operation, values.slice(1));
  const result = branch(fields);
  fields.end();
  return result;
}
