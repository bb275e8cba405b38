/** The checker of idempotency keys: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkIdempotency } from "../checkers/idempotency.ts";
import type { IdempotencyFindings } from "../scenarios/idempotency.ts";
import type { Values } from "../history/event.ts";
import { broken, refusesNothing, solid, Story } from "./story.ts";

const one: IdempotencyFindings = { entries: { k: ["d 5"] }, answers: { k: "v" } };

function answered(value = "v"): Story {
  return new Story("idempotency")
    .note("attempt", "k", { token: 5, number: 1, recovered: false })
    .call("run", "k", "k", { value: "v", replayed: false })
    .call("run", "k", "k", { value, replayed: true }, { process: "pod-2.1" });
}

/** An attempt of more than a lease, by a process that was fast all the time. */
function long(lost: boolean, more: Values = {}, struck: readonly string[] = []): Story {
  return new Story("idempotency")
    .note("attempt", "k", { token: 5, number: 1, recovered: false })
    .add({ kind: "fault", nemesis: "reset", strike: 1, phase: "begin", pods: struck, what: "reset" }, "runner")
    .wait(700)
    .note("outlasted", "k", { token: 5, leftMs: 590, slowestMs: 40, forMs: 700, lost, ...more });
}

/** A schedule in which the answer to an outcome does not come for so long, until the caller is told that nobody knows. */
function unanswered(ms: number): Story {
  const story = new Story("idempotency").note("attempt", "k", { token: 5, number: 1, recovered: false });
  const answer = story.ask("run", "k", "k");
  story.note("left", "k", { token: 5, error: null });
  for (const part of [ms / 2, ms / 2]) story.note("advanced", "clock", { ms: part }, "stage");
  return answer("unknown", { error: "OutcomeUnknownError" });
}

/** Two attempts, the second of another pod, which begins while the first is at work. */
function overtaken(more: Values = {}, error: string | null = null): Story {
  const first = { token: 5, number: 1, recovered: false, downstreamKey: "d" };
  return new Story("idempotency")
    .note("attempt", "k", first)
    .note("attempt", "k", { ...first, token: 6, number: 2, recovered: true, ...more }, "pod-2.1")
    .note("left", "k", { token: 5, error });
}

describe("the checker of idempotency keys", () => {
  it("lets pass what the guarantees allow", () => {
    expect(broken(checkIdempotency(answered().record(one)))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkIdempotency, "idempotency")).toBe(true);
  });

  it.each([
    ["two effects", answered(), { ...one, entries: { k: ["d 5", "d 6"] } }, "I1 I8 at most one effect per key"],
    ["no effect", answered(), { ...one, entries: { k: [] } }, "I1 every key has its effect at the end"],
    [
      "another key downstream",
      overtaken({ downstreamKey: "e" }),
      one,
      "I1 the key that is handed downstream is the same in every attempt",
    ],
    ["another answer", answered("w"), one, "I2 everybody gets the same answer"],
    [
      "an answer for another payload",
      answered().call("run-other-payload", "k", "k/other", { value: "v" }),
      one,
      "I3 another payload under the same key is never answered",
    ],
    [
      "a token given twice",
      answered().note("attempt", "k", { token: 5, number: 2, recovered: true }),
      one,
      "I5 tokens of the attempts of a key are unique",
    ],
    [
      "an attempt that was not told of an earlier one",
      answered().note("attempt", "k", { token: 6, number: 2, recovered: false }),
      one,
      "I8 a later attempt knows that an earlier one started",
    ],
    [
      "an answer of an attempt that had been overtaken",
      overtaken(),
      { ...one, answers: { k: "d by 5" } },
      "I2 the answer is that of the last attempt",
    ],
    [
      "a key that is in progress with nobody",
      answered().call("run", "k", "k", { error: "InProgressError" }, { outcome: "refused" }),
      one,
      "I1 nobody hears that a key is in progress while it is nobody's",
    ],
    ["a token that falls", overtaken({ token: 4 }), one, "K5 tokens of the attempts of a key increase in real time"],
    ["an attempt whose lease is not renewed", long(true), one, "I4 an attempt that outlasts its lease keeps its key"],
    [
      "an outcome that is sent once",
      unanswered(2_100),
      one,
      "I9 an outcome is sent again before its caller hears that it is unknown",
    ],
    [
      "a key that is free as soon as an answer was lost",
      overtaken({}, "TimeoutError").note("advanced", "clock", { ms: 50 }),
      one,
      "I8 a key stays closed for a lease after an answer was lost",
    ],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkIdempotency(story.record(findings)))).toContain(rule);
  });

  it.each([
    ["its process or its way to Redis was slow", long(true, { slowestMs: 300 })],
    ["much of the lease was over when it began", long(true, { leftMs: 200 })],
    ["it took less than a lease", long(true, { forMs: 300 })],
    ["a fault came in between", long(true, {}, ["pod-1"])],
  ])("lets an attempt lose its key when %s", (_, story) => {
    expect(broken(checkIdempotency(story.record(one)))).toEqual([]);
  });

  it("lets an attempt keep its key, and asks for no less when the fault was another pod's", () => {
    expect(broken(checkIdempotency(long(false).record(one)))).toEqual([]);
    expect(broken(checkIdempotency(long(true, {}, ["pod-2"]).record(one)))).toEqual([
      "I4 an attempt that outlasts its lease keeps its key",
    ]);
  });

  it("lets a caller hear that an outcome is unknown when it was sent more than once", () => {
    expect(broken(checkIdempotency(unanswered(8_200).record(one)))).toEqual([]);
  });

  it("lets somebody hear that a key is in progress while another asks", () => {
    const story = answered();
    const answer = story.ask("run", "k", "k", {}, "pod-3.1");
    story.call("run", "k", "k", { error: "InProgressError" }, { outcome: "refused" });
    expect(broken(checkIdempotency(answer("ok", { value: "v", replayed: true }).record(one)))).toEqual([]);
  });

  it("lets somebody hear so of a claim that was given up, and came in time by a clock that was set back", () => {
    const story = new Story("idempotency").call(
      "run",
      "k",
      "k",
      { error: "RedisUnavailableError" },
      { outcome: "refused" },
    );
    story.call("run", "k", "k", { error: "InProgressError" }, { outcome: "refused", process: "pod-3.1" });
    const rule = "I1 nobody hears that a key is in progress while it is nobody's";
    expect(broken(checkIdempotency(story.record(one, { ...solid, stepsClock: true })))).not.toContain(rule);
    expect(broken(checkIdempotency(story.record(one)))).toContain(rule);
  });

  it("lets a server that forgot a key run it again, under the same key downstream", () => {
    const round = answered().record({ ...one, entries: { k: ["d 5", "d 6"] } }, { ...solid, forgets: true });
    expect(broken(checkIdempotency(round))).toEqual([]);
  });
});
