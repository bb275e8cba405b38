/** How long a failed dependency asks its callers to stay away. */

interface HeadersLike {
  get(name: string): string | null;
}

function headersOf(carrier: unknown): HeadersLike | undefined {
  const { headers, response } = carrier as { headers?: unknown; response?: { headers?: unknown } };
  const found = headers ?? response?.headers;
  return typeof (found as Partial<HeadersLike> | undefined)?.get === "function" ? (found as HeadersLike) : undefined;
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
  const text = headersOf(carrier)?.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}$/u.test(text)) return Number(text) * 1_000;
  const dateMs = text === "" ? Number.NaN : Date.parse(text);
  return Number.isNaN(dateMs) ? 0 : Math.max(0, dateMs - wallMs);
}
