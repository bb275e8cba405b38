/** What can be asked of `pnpm chaos`. */
import { UsageExit } from "@holdfast-examples/stage/program";
import { describe, expect, it } from "vitest";
import { readCommandLine } from "../command-line.ts";
import { repeatCommand } from "../report/summary.ts";
import { moduleOf } from "../scenarios/catalog.ts";

describe("the command line", () => {
  it("takes lists with commas", () => {
    const options = readCommandLine([
      "--only",
      "lock,timer",
      "--topology",
      "single,cluster",
      "--nemesis",
      "kill",
      "--seed",
      "7",
    ]);
    expect(options).toMatchObject({
      topologies: ["single", "cluster"],
      nemeses: ["kill"],
      seed: "7",
      rounds: undefined,
    });
    expect(options.modules).toEqual([moduleOf("lock"), moduleOf("timer")]);
  });

  it("repeats a round by the words that the report prints", () => {
    const plan = {
      seed: "7.3",
      topology: "cluster",
      ground: "forgets",
      modules: [moduleOf("lock")],
      nemeses: ["kill", "flush"],
      pods: 3,
      faultsMs: 20_000,
      folder: "",
    } as const;
    const [, , ...words] = repeatCommand(plan).split(" ");
    const options = readCommandLine(words);
    expect(options).toMatchObject({
      rounds: 1,
      seed: "7.3",
      topologies: ["cluster"],
      grounds: ["forgets"],
      nemeses: ["kill", "flush"],
      pods: 3,
      faultsMs: 20_000,
    });
    expect(options.modules).toEqual(plan.modules);
  });

  it.each([["--nemesis", "earthquake"], ["--minutes", "0"], ["--rounds", "1.5"], ["--topology", "star"], ["lock"]])(
    "refuses %s %s",
    (...words) => {
      expect(() => readCommandLine(words)).toThrow(UsageExit);
    },
  );
});
