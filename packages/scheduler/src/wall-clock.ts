/**
 * What clocks on the wall show in a time zone, and when. A local time is written as the epoch milliseconds at which clocks in UTC show it.
 */

const dayMs = 86_400_000;

/** The clocks of one time zone. */
export class WallClock {
  readonly #format: Intl.DateTimeFormat;

  /** @throws RangeError for a zone that is not known here */
  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      calendar: "iso8601",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  /** The local time at a moment. */
  localMs(atMs: number): number {
    const part: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(atMs)) part[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = part;
    const fractionMs = ((atMs % 1_000) + 1_000) % 1_000;
    return Date.UTC(year, month - 1, day, hour, minute, second, fractionMs);
  }

  /**
   * The moment at which clocks first show a local time; when they skip it, the moment at which they do. So it never goes back while local
   * times go forward, and each local time has exactly one moment.
   */
  momentMs(localMs: number): number {
    const before = localMs - this.#offsetMs(localMs - dayMs);
    const after = localMs - this.#offsetMs(localMs + dayMs);
    const [earlier, later] = before < after ? [before, after] : [after, before];
    if (this.localMs(earlier) === localMs) return earlier;
    if (this.localMs(later) === localMs) return later;
    // Skipped: look for the jump between a moment before it and one after it.
    return firstBetween(earlier - 1, later + 1, (atMs) => this.localMs(atMs) >= localMs);
  }

  /** The latest local time that clocks have shown by a moment: in a repeated hour that is later than what they show then. */
  latestLocalMs(atMs: number): number {
    const nowMs = this.localMs(atMs);
    return firstBetween(nowMs, nowMs + 2 * dayMs, (localMs) => this.momentMs(localMs) > atMs) - 1;
  }

  #offsetMs(atMs: number): number {
    return this.localMs(atMs) - atMs;
  }
}

/** The first whole number above `low` for which something is so, by halving: it is so for `high`, and for all above the first. */
function firstBetween(low: number, high: number, isSo: (value: number) => boolean): number {
  let [before, found] = [low, high];
  while (found - before > 1) {
    const middle = Math.floor((before + found) / 2);
    if (isSo(middle)) found = middle;
    else before = middle;
  }
  return found;
}
