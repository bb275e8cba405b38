/** The checker of timers: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkTimer } from "../checkers/timer.ts";
import type { TimerFindings } from "../scenarios/timer.ts";
import { broken, refusesNothing, solid, Story } from "./story.ts";

const atRest: TimerFindings = { pending: 0, leased: 0, dead: {} };
const asked = { afterMs: 50, behaviour: "plain" } as const;
const granted = { kind: "scheduled", generation: 3 } as const;

function scheduled(generation = 3): Story {
  return new Story("timer").call("schedule", "t", "s1", { kind: "scheduled", generation }, { asked });
}

function delivered(
  story: Story,
  more: { token?: number; generation?: number; latenessMs?: number; attempt?: number } = {},
): Story {
  const { token = 7, generation = 3, latenessMs = 1, attempt = 1 } = more;
  return story
    .note("delivered", "t", { token, generation, latenessMs, attempt })
    .note("done", "t", { token, generation, lost: false });
}

/** A schedule of layer 1 in which time is advanced five times before the timer is delivered. */
function stranded(story: Story): Story {
  const staged = story.call(
    "schedule",
    "t",
    "s1",
    { kind: "scheduled", generation: 3 },
    { asked: { ...asked, afterMs: 0 } },
  );
  for (let times = 0; times < 5; times += 1) staged.note("advanced", "clock", { ms: 1_000 });
  return delivered(staged, { latenessMs: 4_500 });
}

describe("the checker of timers", () => {
  it("lets pass what the guarantees allow", () => {
    const round = delivered(scheduled().wait(60)).record(atRest);
    expect(broken(checkTimer(round))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkTimer, "timer")).toBe(true);
  });

  it.each([
    [
      "one that the server says is early",
      delivered(scheduled().wait(60), { latenessMs: -1 }),
      atRest,
      "T1 no timer is delivered before it is due",
    ],
    [
      "one that is given to another while it is leased",
      scheduled()
        .wait(60)
        .note("advanced", "clock", { ms: 1_000 })
        .note("delivered", "t", { token: 7_000, generation: 3, latenessMs: 1, attempt: 1 })
        .note("delivered", "t", { token: 9_000_000, generation: 3, latenessMs: 1, attempt: 2 }, "pod-2.1"),
      atRest,
      "T3 while a firing is leased nobody else gets the timer",
    ],
    [
      "one that is early by the monotonic clock",
      delivered(scheduled()),
      atRest,
      "T1 no timer is delivered before it is due",
    ],
    ["one that never fired", scheduled(), atRest, "T2 what was scheduled and not cancelled fires"],
    [
      "timers that are left",
      delivered(scheduled().wait(60)),
      { ...atRest, pending: 1 },
      "T2 nothing is left behind at the end",
    ],
    [
      "a delivery after a cancel was acknowledged",
      delivered(scheduled().wait(60).call("cancel", "t", "c1", { kind: "cancelled" })),
      atRest,
      "T5 nothing is first delivered after a cancel was acknowledged",
    ],
    [
      "a token that was delivered twice",
      delivered(delivered(scheduled().wait(60))),
      atRest,
      "T3 each delivery of a timer has a token of its own, higher than those before it",
    ],
    [
      "an older generation after a newer one",
      delivered(delivered(scheduled().wait(60), { generation: 4, token: 8 }), { generation: 3, token: 9 }),
      atRest,
      "T4 an older generation never begins after a newer one",
    ],
    [
      "too many attempts",
      delivered(scheduled().wait(60), { attempt: 7 }),
      atRest,
      "T6 no timer has more attempts than allowed",
    ],
    [
      "poison that is no dead letter",
      new Story("timer").call("schedule", "t", "s1", { generation: 3 }, { asked: { afterMs: 0, behaviour: "poison" } }),
      atRest,
      "T6 what always fails ends among the dead letters, after its attempts",
    ],
    [
      "one that is late when nothing fails",
      delivered(new Story("timer").healed().call("schedule", "t", "s1", { generation: 3 }, { asked }).wait(5_000)),
      atRest,
      "T8 after the healing no timer is more than 2500 ms late",
    ],
    [
      "one that fires twice when nothing fails",
      delivered(
        delivered(new Story("timer").healed().call("schedule", "t", "s1", { generation: 3 }, { asked }).wait(60)),
        { token: 8 },
      ),
      atRest,
      "T2 after the healing a timer that succeeds is delivered once",
    ],
    [
      "a newer generation that an acknowledgement took away",
      delivered(scheduled().wait(60)).call("schedule", "t", "s2", { kind: "firing", generation: 5 }, { asked }),
      atRest,
      "T4 what was scheduled last fires, also behind an earlier generation",
    ],
    [
      "a repeat that got another answer",
      delivered(scheduled().call("schedule", "t", "s1", { kind: "scheduled", generation: 4 }, { asked }).wait(60)),
      atRest,
      "T9 a repeat gets the first answer",
    ],
    [
      "a request that was carried out twice",
      delivered(delivered(scheduled().wait(60)), { generation: 4, token: 8 }),
      atRest,
      "T9 one request makes one generation",
    ],
    [
      "a timer that was claimed by nobody who knew",
      stranded(new Story("timer")),
      atRest,
      "T2 K7 while everybody runs, what is due is delivered, also when replies are lost",
    ],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkTimer(story.record(findings)))).toContain(rule);
  });

  it("lets a timer that had been due be delivered again while the clock is back", () => {
    const mark = { kind: "fault", nemesis: "clock-back", strike: 1, pods: ["pod-1"], what: "back" } as const;
    const story = delivered(scheduled().wait(60)).add({ ...mark, phase: "begin" }, "runner");
    const again = delivered(story, { token: 8, attempt: 2, latenessMs: -60_000 }).add(
      { ...mark, phase: "end" },
      "runner",
    );
    expect(broken(checkTimer(again.record(atRest, { ...solid, stepsClock: true })))).toEqual([]);
  });

  it("lets a timer wait whose worker stood still", () => {
    const mark = {
      kind: "fault",
      nemesis: "freeze",
      strike: 1,
      pods: ["actor-0"],
      what: "freeze",
      phase: "begin",
    } as const;
    const story = stranded(new Story("timer").add(mark, "stage"));
    expect(broken(checkTimer(story.record(atRest)))).toEqual([]);
  });

  it("does not ask for a cancel that a failover may have taken back", () => {
    const story = delivered(scheduled().wait(60).call("cancel", "t", "c1", { kind: "cancelled" }));
    expect(broken(checkTimer(story.record(atRest, { ...solid, forgets: true })))).toEqual([]);
  });

  it("asks for punctuality from where the history says that all is calm, and from the last such place", () => {
    const late = (story: Story): Story => delivered(story.call("schedule", "t", "s1", granted, { asked }).wait(9_000));
    const calm = { kind: "phase", phase: "calm" } as const;
    const rule = "T8 after the healing no timer is more than 2500 ms late";
    const healed = (): Story => new Story("timer").healed();
    expect(broken(checkTimer(late(healed().add(calm, "runner")).record(atRest)))).toContain(rule);
    const again = late(healed().add(calm, "runner")).add(calm, "runner");
    expect(broken(checkTimer(again.record(atRest)))).not.toContain(rule);
  });

  it("grants a timer the time for which something stood still", () => {
    const stood = (forMs: number): readonly string[] => {
      const story = new Story("timer").healed().call("schedule", "t", "s1", granted, { asked }).wait(5_000);
      const round = delivered(story.add({ kind: "stood", forMs, who: "redis" }, "runner"));
      return broken(checkTimer(round.record(atRest)));
    };
    expect(stood(3_000)).toEqual([]);
    expect(stood(2_000)).toEqual(["T8 after the healing no timer is more than 2500 ms late"]);
  });

  it("lets a timer be delivered again whose worker can have lost its lease to the machine", () => {
    const twice = (...gaps: readonly (readonly [process: string, forMs: number])[]): readonly string[] => {
      const story = delivered(new Story("timer").healed().call("schedule", "t", "s1", granted, { asked }).wait(300));
      for (const [process, forMs] of gaps) story.add({ kind: "stood", forMs }, process);
      return broken(checkTimer(delivered(story, { token: 8, attempt: 2 }).record(atRest)));
    };
    expect(twice(["pod-1.1", 300])).toEqual([]);
    expect(twice(["pod-1.1", 200])).toEqual(["T2 after the healing a timer that succeeds is delivered once"]);
    // One after the other they have the request wait for as long.
    expect(twice(["pod-1.1", 130], ["runner", 130])).toEqual([]);
  });
});
