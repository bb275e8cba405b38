/** How long a failed dependency asks its callers to stay away. */

const name = "retry-after";

interface HeadersLike {
  get(name: string): unknown;
}

/** The header, from web-standard `Headers` or from an object as Node's http module makes it. */
function headerOf(carrier: unknown): string | undefined {
  const { headers, response } = carrier as { headers?: unknown; response?: { headers?: unknown } };
  const found = headers ?? response?.headers;
  if (typeof found !== "object" || found === null) return undefined;
  const isHeaders = typeof (found as Partial<HeadersLike>).get === "function";
  const value = isHeaders ? (found as HeadersLike).get(name) : (found as Readonly<Record<string, unknown>>)[name];
  return typeof value === "string" ? value : undefined;
}

/**
 * Milliseconds, 0 when nothing is asked: from `retryAfterMs` of an error, or from the header Retry-After of a response or of an error's
 * response, in seconds or as a date.
 * @param carrier what the attempt ended with
 * @param wallMs local epoch milliseconds, for dates
 */
export function retryAfterMs(carrier: unknown, wallMs: number): number {
  if (typeof carrier !== "object" || carrier === null) return 0;
  const { retryAfterMs: askedMs } = carrier as { retryAfterMs?: unknown };
  if (typeof askedMs === "number" && askedMs > 0) return askedMs;
  const text = headerOf(carrier)?.trim() ?? "";
  if (/^\d{1,9}$/u.test(text)) return Number(text) * 1_000;
  const dateMs = text === "" ? Number.NaN : Date.parse(text);
  return Number.isNaN(dateMs) ? 0 : Math.max(0, dateMs - wallMs);
}
