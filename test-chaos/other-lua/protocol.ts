/** The words of requests, and replies as Lua sees them, which are RESP2. */

/** The words of a request. */
export function wordsOf(request: Buffer): Buffer[] {
  const words: Buffer[] = [];
  for (let at = request.indexOf("\r\n") + 2; at < request.length;) {
    const lineEnd = request.indexOf("\r\n", at);
    const end = lineEnd + 2 + Number(request.toString("latin1", at + 1, lineEnd));
    words.push(request.subarray(lineEnd + 2, end));
    at = end + 2;
  }
  return words;
}

/** A request of words. */
export function requestOf(words: readonly Buffer[]): Buffer {
  const parts = words.flatMap((word) => [Buffer.from(`$${word.length}\r\n`), word, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts]);
}

function quoted(bytes: Buffer): string {
  return `"${bytes.toString("hex").replaceAll(/../gu, String.raw`\x$&`)}"`;
}

/** The value that begins here as an expression of Lua, and where it ends. */
function expressionAt(reply: Buffer, at: number): { readonly expression: string; readonly end: number } {
  const lineEnd = reply.indexOf("\r\n", at);
  const kind = String.fromCharCode(reply[at] ?? 0);
  const line = reply.subarray(at + 1, lineEnd);
  const next = lineEnd + 2;
  if (kind === ":") return { expression: line.toString(), end: next };
  if (kind === "+") return { expression: `{ok=${quoted(line)}}`, end: next };
  if (kind === "-") return { expression: `{err=${quoted(line)}}`, end: next };
  const count = Number(line.toString());
  if (count < 0) return { expression: "false", end: next };
  if (kind === "$") return { expression: quoted(reply.subarray(next, next + count)), end: next + count + 2 };
  const items: string[] = [];
  let end = next;
  while (items.length < count) {
    const item = expressionAt(reply, end);
    items.push(item.expression);
    end = item.end;
  }
  return { expression: `{${items.join(",")}}`, end };
}

/** A chunk of Lua that returns what a reply says, or nil and the text of its error. */
export function chunkOf(reply: Buffer): string {
  if (reply[0] === "-".charCodeAt(0)) return `return nil, ${quoted(reply.subarray(1, reply.length - 2))}`;
  return `return ${expressionAt(reply, 0).expression}`;
}
