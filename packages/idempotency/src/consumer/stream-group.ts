/** What a member asks of its consumer group, in Redis' commands; what becomes of the messages is the consumer's business. */
import { Connection } from "@holdfast/core";
import type { Clock, RedisLike } from "@holdfast/core";

/** An entry of the stream. */
export interface StreamMessage {
  /** The stream's id of the entry. */
  readonly id: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** A member of a group, and how it asks. */
export interface Membership {
  readonly stream: string;
  readonly group: string;
  readonly consumer: string;
  readonly minIdleMs: number;
  readonly commandTimeoutMs: number;
}

type Entry = [id: string, fields: string[] | null];

/** Whether the server has answered with this code. */
function isAnswer(error: unknown, code: "BUSYGROUP" | "NOGROUP"): boolean {
  return error instanceof Error && new RegExp(`\\b${code}\\b`, "u").test(error.message);
}

/** Whether Redis has lost the group. */
export function saysNoGroup(error: unknown): boolean {
  return isAnswer(error, "NOGROUP");
}

function messagesOf(entries: readonly (Entry | null)[]): StreamMessage[] {
  return entries.flatMap((entry) => {
    // An entry that was deleted meanwhile is none, or has no fields.
    const [id, flat] = entry ?? ["", null];
    if (flat === null) return [];
    const fields: Record<string, string> = {};
    for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] ?? ""] = flat[at + 1] ?? "";
    return [{ id, fields }];
  });
}

/** A consumer group as one of its members sees it. */
export class StreamGroup {
  readonly #connection: Connection;
  readonly #membership: Membership;
  #cursor = "0-0";

  constructor(redis: RedisLike, clock: Clock, membership: Membership) {
    this.#connection = Connection.of(redis, clock);
    this.#membership = membership;
  }

  /** Makes the group, from the beginning of the stream, when it is missing. */
  async make(): Promise<void> {
    const { stream, group } = this.#membership;
    this.#cursor = "0-0";
    try {
      await this.#call("xgroup", ["CREATE", stream, group, "0", "MKSTREAM"]);
    } catch (error) {
      if (!isAnswer(error, "BUSYGROUP")) throw error;
    }
  }

  /** Takes over what nobody has acknowledged for `minIdleMs`, in turn; what this member is working on is among it. */
  async takeOver(count: number): Promise<StreamMessage[]> {
    const { stream, group, consumer, minIdleMs } = this.#membership;
    const args = [stream, group, consumer, minIdleMs, this.#cursor, "COUNT", count];
    const [cursor, entries] = (await this.#call("xautoclaim", args)) as [string, (Entry | null)[]];
    this.#cursor = cursor;
    return messagesOf(entries);
  }

  /** Takes what nobody in the group has had. */
  async readNew(count: number): Promise<StreamMessage[]> {
    const { stream, group, consumer } = this.#membership;
    const args = ["GROUP", group, consumer, "COUNT", count, "STREAMS", stream, ">"];
    const reply = (await this.#call("xreadgroup", args)) as [string, Entry[]][] | Record<string, Entry[]> | null;
    if (reply === null) return [];
    // A client that maps RESP3 gives an object where others give pairs.
    return messagesOf((Array.isArray(reply) ? reply[0]?.[1] : Object.values(reply)[0]) ?? []);
  }

  async acknowledge({ id }: StreamMessage): Promise<void> {
    const { stream, group } = this.#membership;
    await this.#call("xack", [stream, group, id]);
  }

  /** Asks Redis; whether it did what it was asked for is not known when no answer comes. */
  #call(command: string, args: (string | number)[]): Promise<unknown> {
    const { stream, commandTimeoutMs: timeoutMs } = this.#membership;
    return this.#connection.read(command, args, { operation: `${command} ${stream}`, timeoutMs });
  }
}
