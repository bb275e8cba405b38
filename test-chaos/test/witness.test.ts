/** A fault that hit nothing has shown nothing: witnesses of strikes, and the pages that tell of them. */
import { describe, expect, it } from "vitest";
import { addWitnesses, hasStruck, witnessesOf } from "../checkers/witness.ts";
import { nemeses } from "../faults/deck.ts";
import { runSummaryOf } from "../report/summary.ts";
import { Story } from "./story.ts";

const kill = nemeses.filter(({ name }) => name === "kill");
const mark = { kind: "fault", nemesis: "kill", strike: 1, pods: ["pod-1"], what: "pod-1 killed" } as const;

/** A strike on pod-1, while a call of the process is under way. */
function struck(process: string, hits?: number): Story {
  const story = new Story("lock");
  const answer = story.ask("acquire", "a", "o", {}, process);
  story
    .add({ ...mark, phase: "begin" }, "runner")
    .add({ ...mark, phase: "end", ...(hits === undefined ? {} : { hits }) }, "runner");
  answer("ok");
  return story;
}

describe("witnesses", () => {
  it("count strikes that hit calls of the pods they were aimed at", () => {
    const [witness] = witnessesOf(struck("pod-1.2").record({}), kill);
    expect(witness).toEqual({ nemesis: "kill", strikes: 1, struckWork: 1, calls: 1, hits: null });
  });

  it("do not count calls of others: pod-10 is not pod-1", () => {
    for (const process of ["pod-2.1", "pod-10.1"]) {
      const [witness] = witnessesOf(struck(process).record({}), kill);
      expect(witness).toMatchObject({ strikes: 1, struckWork: 0 });
    }
  });

  it("are wanted of every nemesis of the deck, and zero is a failure", () => {
    const witnesses = witnessesOf(new Story("lock").record({}), kill);
    expect(witnesses.map(hasStruck)).toEqual([false]);
    const round = {
      seed: "1",
      topology: "single",
      ground: "solid",
      repeat: "",
      tookMs: 1,
      calls: { ok: 1, refused: 0, unknown: 0 },
    };
    const run = runSummaryOf("1", [{ ...round, broken: [], rules: 1, witnesses }]);
    expect(run).toMatchObject({ held: false, idle: ["kill"] });
  });

  it("need what the network counted as well, where it counts", () => {
    const [nothing] = witnessesOf(struck("pod-1.1", 0).record({}), kill);
    const [something] = witnessesOf(struck("pod-1.1", 2).record({}), kill);
    expect([nothing, something].map((each) => each !== undefined && hasStruck(each))).toEqual([false, true]);
  });

  it("add up over rounds", () => {
    const rounds = [
      witnessesOf(struck("pod-1.1", 2).record({}), kill),
      witnessesOf(struck("pod-2.1").record({}), kill),
    ];
    expect(addWitnesses(rounds)).toEqual([{ nemesis: "kill", strikes: 2, struckWork: 1, calls: 1, hits: 2 }]);
  });
});
