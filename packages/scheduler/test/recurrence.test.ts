/** C4: when jobs recur, on days on which clocks are set. */
import { Cron } from "croner";
import { describe, expect, it, vi } from "vitest";
import { recurrenceOf } from "../src/recurrence.ts";
import { WallClock } from "../src/wall-clock.ts";

/** Occurrences of a pattern from one moment to another, as `29 03:30` by the clocks there. */
function shown(cron: string, timezone: string, from: string, to: string): string[] {
  const recurrence = recurrenceOf({ cron, timezone });
  const list: string[] = [];
  for (let atMs = recurrence.after(Date.parse(from) - 1); atMs !== undefined && atMs < Date.parse(to);) {
    list.push(onTheWall(atMs, timezone));
    atMs = recurrence.after(atMs);
  }
  return list;
}

function onTheWall(atMs: number, timezone: string): string {
  return new Date(new WallClock(timezone).localMs(atMs)).toISOString().slice(8, 16).replace("T", " ");
}

const paris = {
  zone: "Europe/Paris",
  // 02:00 becomes 03:00 at 01:00Z.
  spring: ["2026-03-28T23:00Z", "2026-03-29T22:00Z"],
  // 03:00 becomes 02:00 at 01:00Z.
  autumn: ["2026-10-24T22:00Z", "2026-10-25T23:00Z"],
} as const;
const newYork = {
  zone: "America/New_York",
  // 02:00 becomes 03:00 at 07:00Z.
  spring: ["2026-03-08T05:00Z", "2026-03-09T04:00Z"],
  // 02:00 becomes 01:00 at 06:00Z.
  autumn: ["2026-11-01T04:00Z", "2026-11-02T05:00Z"],
} as const;

describe("C4 daylight saving", () => {
  it.each([
    [paris.zone, "spring", "30 2 * * *", ["29 03:00"]],
    [paris.zone, "spring", "0 3 * * *", ["29 03:00"]],
    [paris.zone, "spring", "30 2,14 * * *", ["29 03:00", "29 14:30"]],
    [paris.zone, "spring", "15,45 2 * * *", ["29 03:00"]],
    [paris.zone, "spring", "0 1-3 * * *", ["29 01:00", "29 03:00"]],
    [paris.zone, "autumn", "30 2 * * *", ["25 02:30"]],
    [paris.zone, "autumn", "0 3 * * *", ["25 03:00"]],
    [paris.zone, "autumn", "30 2,14 * * *", ["25 02:30", "25 14:30"]],
    [paris.zone, "autumn", "0 1-3 * * *", ["25 01:00", "25 02:00", "25 03:00"]],
    [newYork.zone, "spring", "30 2 * * *", ["08 03:00"]],
    [newYork.zone, "spring", "30 2,14 * * *", ["08 03:00", "08 14:30"]],
    [newYork.zone, "spring", "0 0 2 * * *", ["08 03:00"]],
    [newYork.zone, "spring", "0 3 * * *", ["08 03:00"]],
    [newYork.zone, "spring", "15,45 2 * * *", ["08 03:00"]],
    [newYork.zone, "spring", "0 1-3 * * *", ["08 01:00", "08 03:00"]],
    [newYork.zone, "autumn", "0 2 * * *", ["01 02:00"]],
    [newYork.zone, "autumn", "30 1 * * *", ["01 01:30"]],
    [newYork.zone, "autumn", "30 1,13 * * *", ["01 01:30", "01 13:30"]],
    [newYork.zone, "autumn", "0 0-2 * * *", ["01 00:00", "01 01:00", "01 02:00"]],
  ] as const)("C4 in %s, in %s, %s is a time on the wall and happens once", (zone, season, cron, expected) => {
    const [from, to] = (zone === paris.zone ? paris : newYork)[season];
    expect(shown(cron, zone, from, to)).toEqual(expected);
  });

  it("C4 a repeated time happens at its first showing, a skipped one at the moment of the jump", () => {
    const after = (cron: string, zone: string, from: string): string =>
      new Date(recurrenceOf({ cron, timezone: zone }).after(Date.parse(from)) ?? 0).toISOString();
    expect(after("30 2 * * *", "Europe/Paris", "2026-10-24T12:00Z")).toBe("2026-10-25T00:30:00.000Z");
    expect(after("30 2 * * *", "Europe/Paris", "2026-10-25T00:45Z")).toBe("2026-10-26T01:30:00.000Z");
    expect(after("30 2 * * *", "Europe/Paris", "2026-03-28T12:00Z")).toBe("2026-03-29T01:00:00.000Z");
    expect(after("30 1 * * *", "America/New_York", "2026-10-31T12:00Z")).toBe("2026-11-01T05:30:00.000Z");
    expect(after("30 1 * * *", "America/New_York", "2026-11-01T05:45Z")).toBe("2026-11-02T06:30:00.000Z");
    expect(after("30 2 * * *", "America/New_York", "2026-03-07T12:00Z")).toBe("2026-03-08T07:00:00.000Z");
  });

  it("C4 counter-test: croner alone repeats a list of times in autumn, and leaves one out in spring", () => {
    const alone = (from: string, to: string): number => {
      const pattern = new Cron("30 2,14 * * *", { timezone: "Europe/Paris", paused: true });
      let count = 0;
      for (let at = pattern.nextRun(new Date(from)); at !== null && at < new Date(to); at = pattern.nextRun(at))
        count += 1;
      return count;
    };
    expect(alone(...paris.autumn)).toBe(3);
    expect(alone(...paris.spring)).toBe(1);
  });

  it.each([
    [paris.zone, paris.spring, "0 * * * *", 23],
    [paris.zone, paris.autumn, "0 * * * *", 25],
    [newYork.zone, newYork.spring, "*/30 * * * *", 46],
    [newYork.zone, newYork.autumn, "*/30 * * * *", 50],
  ])("C4 in %s over %s the rhythm %s goes on: %i occurrences", (zone, [from, to], cron, count) => {
    expect(shown(cron, zone, from, to)).toHaveLength(count);
  });

  it("C4 in a repeated hour what comes after it is found without a look at each second of it", () => {
    const recurrence = recurrenceOf({ cron: "* * 2 * * *", timezone: paris.zone });
    const nextRun = vi.spyOn(Cron.prototype, "nextRun");
    expect(recurrence.after(Date.parse("2026-10-25T01:00:01Z"))).toBe(Date.parse("2026-10-26T01:00Z"));
    expect(nextRun.mock.calls.length).toBeLessThanOrEqual(2);
    nextRun.mockRestore();
  });

  it("C4 from whatever moment one asks, the same occurrence is next", () => {
    for (const zone of ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"]) {
      for (const day of ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]) {
        for (const cron of ["30 2 * * *", "30 1,2,14 * * *", "*/20 1-2 * * *", "0 */2 * * *"]) {
          const recurrence = recurrenceOf({ cron, timezone: zone });
          const startMs = Date.parse(day) - 14 * 3_600_000;
          let nextMs = recurrence.after(startMs) as number;
          for (let atMs = startMs; atMs < startMs + 40 * 3_600_000; atMs += 900_000) {
            if (atMs >= nextMs) nextMs = recurrence.after(nextMs) as number;
            expect(recurrence.after(atMs)).toBe(nextMs);
          }
        }
      }
    }
  });
});

describe("rhythms", () => {
  it("everyMs names whole multiples since 1970, whoever asks", () => {
    const rhythm = recurrenceOf({ everyMs: 250 });
    expect([0, 249, 250, 251].map((atMs) => rhythm.after(atMs))).toEqual([250, 250, 500, 500]);
  });
});
