/** C4 on a real server, whose clock is brought to the days on which clocks are set. */
import { ClockSkew, pollUntil, RedisServer } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { Catcher, Desk, freshName } from "./desk.ts";
import { liveView, storeOf } from "./stored.ts";

interface Case {
  readonly title: string;
  readonly timezone: string;
  readonly cron: string;
  /** When it is due, by UTC. */
  readonly due: string;
  /** When the same time would be shown once more, or would have been shown. */
  readonly notDue: string;
  readonly nextDay: string;
}

const cases: readonly Case[] = [
  {
    title: "Paris, autumn: 02:30 is shown twice",
    timezone: "Europe/Paris",
    cron: "30 2 * * *",
    due: "2026-10-25T00:30:00.000Z",
    notDue: "2026-10-25T01:30:00.000Z",
    nextDay: "2026-10-26T01:30:00.000Z",
  },
  {
    title: "Paris, spring: 02:30 is skipped",
    timezone: "Europe/Paris",
    cron: "30 2 * * *",
    due: "2026-03-29T01:00:00.000Z",
    notDue: "2026-03-29T01:30:00.000Z",
    nextDay: "2026-03-30T00:30:00.000Z",
  },
  {
    title: "New York, autumn: 01:30 is shown twice",
    timezone: "America/New_York",
    cron: "30 1 * * *",
    due: "2026-11-01T05:30:00.000Z",
    notDue: "2026-11-01T06:30:00.000Z",
    nextDay: "2026-11-02T06:30:00.000Z",
  },
  {
    title: "New York, spring: 02:30 is skipped",
    timezone: "America/New_York",
    cron: "30 2 * * *",
    due: "2026-03-08T07:00:00.000Z",
    notDue: "2026-03-08T07:30:00.000Z",
    nextDay: "2026-03-09T06:30:00.000Z",
  },
];

it.each(cases)(
  "C4 three replicas run a time on the wall once on the day, and once on the next, in $title",
  async ({ timezone, cron, due, notDue, nextDay }) => {
    await using skew = await ClockSkew.create();
    const setClock = (text: string, byMs: number): Promise<void> => skew.set(Date.parse(text) + byMs - Date.now());
    // Far enough before it for a machine that stands still now and then.
    await setClock(due, -600_000);
    await using server = await RedisServer.start({ env: skew.env });
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const replicas = [1, 2, 3].map(() =>
      desk.scheduler(server.url, name, { timezone, leaseMs: 60_000 }).job("job", { cron }, catcher.handle),
    );
    await Promise.all(replicas.map((replica) => replica.start()));
    const store = storeOf(desk.redis(server.url), name);
    const { nextMs, nowMs } = await liveView(store);
    expect([new Date(nextMs).toISOString(), nextMs > nowMs]).toEqual([due, true]);

    await setClock(due, 500);
    await desk.event("completed", ({ occurrenceId }) => occurrenceId === due);
    // Whoever looks at the other moment finds that nothing is due.
    await setClock(notDue, 500);
    const seen = Date.parse(notDue);
    const view = await pollUntil("it is later", async () => {
      const found = await liveView(store);
      return found.nowMs > seen && found;
    });
    expect(new Date(view.nextMs).toISOString()).toBe(nextDay);

    await setClock(nextDay, 500);
    await desk.event("completed", ({ occurrenceId }) => occurrenceId === nextDay);
    expect(catcher.ids).toEqual([due, nextDay]);
    expect(catcher.runs.map(({ scheduledForMs }) => scheduledForMs)).toEqual(
      [due, nextDay].map((at) => Date.parse(at)),
    );
    const { runs } = await pollUntil("both records", async () => {
      const history = await (replicas[0] ?? desk.scheduler(server.url, name)).history("job");
      return history.runs.length === 2 && history;
    });
    expect(runs.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
  },
);
