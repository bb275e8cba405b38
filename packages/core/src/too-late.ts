/** The answer of a script that was executed after its bound and so did nothing (K1): `{"too-late", nowText}`, or `too-late <nowText>`. */

const tag = "too-late";

/** The server time, in microseconds, of a `too-late` reply in either form, or undefined for any other reply. */
export function tooLateUs(reply: unknown): number | undefined {
  if (Array.isArray(reply)) {
    const [first, time] = reply as unknown[];
    return reply.length === 2 && asText(first) === tag ? Number(asText(time)) : undefined;
  }
  const text = asText(reply);
  return text?.startsWith(`${tag} `) === true ? Number(text.slice(tag.length + 1)) : undefined;
}

/** A reply that may be the tag with its time, as text; longer ones are something else. */
function asText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return Buffer.isBuffer(value) && value.length < 64 ? value.toString() : undefined;
}
