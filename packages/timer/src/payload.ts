/** Payloads on their way to the server and back: JSON, a size limit, and the caller's schema on both ways. */
import { wordsOf } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { PayloadError } from "./errors.ts";
import { resourceOf } from "./keys.ts";

/** How payloads are written and read. */
export class PayloadCodec<Payload> {
  readonly #name: string;
  readonly #schema: StandardSchemaV1<unknown, Payload> | undefined;
  readonly #bytesMax: number;

  /**
   * @param name the timer's
   * @param bytesMax largest payload as JSON, in bytes
   */
  constructor(name: string, schema: StandardSchemaV1<unknown, Payload> | undefined, bytesMax: number) {
    this.#name = name;
    this.#schema = schema;
    this.#bytesMax = bytesMax;
  }

  /** Whether a schema has to be asked, which may take its time. */
  get checks(): boolean {
    return this.#schema !== undefined;
  }

  /** The JSON text of a payload; empty for undefined. @throws PayloadError */
  encode(id: string, payload: unknown): string {
    if (payload === undefined) return "";
    let text: string | undefined;
    try {
      text = JSON.stringify(payload);
    } catch (error) {
      throw this.#refusal(id, "unserialisable", wordsOf(error), error);
    }
    if (text === undefined) throw this.#refusal(id, "unserialisable", `a ${typeof payload} has no JSON form`);
    // A character is at most three bytes, so most payloads need no count.
    if (text.length * 3 > this.#bytesMax && Buffer.byteLength(text) > this.#bytesMax) {
      throw this.#refusal(id, "too-large", `${Buffer.byteLength(text)} bytes, payloadBytesMax is ${this.#bytesMax}`);
    }
    return text;
  }

  /** The value behind the JSON text. @throws PayloadError when it is no JSON */
  decode(id: string, text: string): unknown {
    if (text === "") return undefined;
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw this.#refusal(id, "undecodable", wordsOf(error), error);
    }
  }

  /** What the schema makes of a value. @throws PayloadError */
  async validate(id: string, value: unknown): Promise<Payload> {
    const schema = this.#schema;
    if (schema === undefined) return value as Payload;
    const result = await schema["~standard"].validate(value);
    if (result.issues === undefined) return result.value;
    const issues = result.issues.map((issue) => issue.message).join("; ");
    throw this.#refusal(id, "invalid", issues || "the schema refused it");
  }

  #refusal(id: string, reason: PayloadError["reason"], why: string, cause?: unknown): PayloadError {
    return new PayloadError(resourceOf(this.#name, id), reason, why, { cause });
  }
}
