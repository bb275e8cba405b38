/**
 * Cuts a byte stream into RESP frames (RESP2 and RESP3), for both directions: a request is an array of bulk strings or an inline
 * line, a reply is any frame. Bytes may arrive in pieces of any size; a frame is handed out once it is complete, with its raw bytes.
 */

/** A decoded RESP value. Errors are values here, since a proxy or a probe decides itself what an error means. */
export type RespValue = string | number | boolean | null | RespError | readonly RespValue[];

/** An error reply of the server. */
export class RespError extends Error {
  override readonly name = "RespError";
}

/** One complete frame. */
export interface RespFrame {
  readonly value: RespValue;
  /** The bytes as they came, to be passed on unchanged. */
  readonly bytes: Buffer;
  /** The first byte: `*` array, `$` bulk string, `>` push, ... or a letter for an inline request. */
  readonly kind: string;
}

interface Cursor {
  readonly value: RespValue;
  readonly end: number;
}

const noBytes = Buffer.alloc(0);

/** An incremental reader; one per direction of a connection. */
export class RespReader {
  #buffered: Buffer = noBytes;
  /** No frame can be complete before this many bytes are there: a large value is not parsed again at each chunk. */
  #needed = 1;

  /** Adds bytes and hands out every frame that is complete now. */
  push(chunk: Buffer): RespFrame[] {
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    const frames: RespFrame[] = [];
    let from = 0;
    while (this.#buffered.length - from >= this.#needed) {
      const cursor = this.#parse(from, from);
      if (cursor === undefined) break;
      const bytes = this.#buffered.subarray(from, cursor.end);
      frames.push({ value: cursor.value, bytes, kind: String.fromCharCode(bytes[0] ?? 0) });
      from = cursor.end;
      this.#needed = 1;
    }
    this.#buffered = from === this.#buffered.length ? noBytes : this.#buffered.subarray(from);
    return frames;
  }

  /** Hands out the bytes of a frame that is not complete yet, for whoever stops reading frames. */
  takePending(): Buffer {
    const bytes = this.#buffered;
    this.#buffered = noBytes;
    return bytes;
  }

  #parse(at: number, frameStart: number): Cursor | undefined {
    const lineEnd = this.#buffered.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const next = lineEnd + 2;
    const line = this.#buffered.toString("utf8", at + 1, lineEnd);
    switch (String.fromCharCode(this.#buffered[at] ?? 0)) {
      case "+":
      case "(":
        return { value: line, end: next };
      case "-":
        return { value: new RespError(line), end: next };
      case ":":
      case ",":
        return { value: Number(line), end: next };
      case "_":
        return { value: null, end: next };
      case "#":
        return { value: line === "t", end: next };
      case "$":
      case "!":
      case "=":
        return this.#parseBulk(Number(line), next, frameStart, this.#buffered[at] === 0x21);
      case "*":
      case "~":
      case ">":
        return this.#parseItems(Number(line), next, frameStart);
      case "%":
        return this.#parseItems(Number(line) * 2, next, frameStart);
      case "|":
        return this.#parseAttribute(Number(line) * 2, next, frameStart);
      default:
        // An inline request, as typed into telnet.
        return { value: this.#buffered.toString("utf8", at, lineEnd).split(/\s+/).filter(Boolean), end: next };
    }
  }

  #parseBulk(length: number, at: number, frameStart: number, isError: boolean): Cursor | undefined {
    if (length < 0) return { value: null, end: at };
    const end = at + length + 2;
    if (end > this.#buffered.length) {
      this.#needed = end - frameStart;
      return undefined;
    }
    const text = this.#buffered.toString("utf8", at, end - 2);
    return { value: isError ? new RespError(text) : text, end };
  }

  #parseItems(count: number, at: number, frameStart: number): Cursor | undefined {
    if (count < 0) return { value: null, end: at };
    const items: RespValue[] = [];
    let end = at;
    for (let index = 0; index < count; index += 1) {
      const item = this.#parse(end, frameStart);
      if (item === undefined) return undefined;
      items.push(item.value);
      end = item.end;
    }
    return { value: items, end };
  }

  /** An attribute stands before the reply it describes and belongs to its frame. */
  #parseAttribute(count: number, at: number, frameStart: number): Cursor | undefined {
    const attribute = this.#parseItems(count, at, frameStart);
    return attribute === undefined ? undefined : this.#parse(attribute.end, frameStart);
  }
}

/** Encodes a command as an array of bulk strings. */
export function encodeCommand(args: readonly (string | number)[]): Buffer {
  const parts = args.map((arg) => {
    const text = String(arg);
    return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
  });
  return Buffer.from(`*${args.length}\r\n${parts.join("")}`);
}
