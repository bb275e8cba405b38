import type { Scenario } from "@holdfast-examples/stage";
import { UsageExit } from "@holdfast-examples/stage/program";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readCommandLine } from "../src/command-line.ts";

function scenarioNamed(name: string): Scenario {
  return {
    name,
    failure: "",
    holds: [],
    run: () => Promise.reject(new Error("not run here")),
  };
}

const all = ["rolling-deploy", "flash-sale", "redelivery"].map(scenarioNamed);

function exitOf(words: readonly string[]): number {
  try {
    readCommandLine(words, all);
  } catch (error) {
    if (error instanceof UsageExit) return error.exitCode;
    throw error;
  }
  throw new Error("nothing was wrong");
}

describe("the command line", () => {
  let printed = "";
  beforeEach(() => {
    printed = "";
    const write = (text: string | Uint8Array): boolean => {
      printed += String(text);
      return true;
    };
    vi.spyOn(process.stdout, "write").mockImplementation(write);
    vi.spyOn(process.stderr, "write").mockImplementation(write);
  });
  afterEach(() => vi.restoreAllMocks());

  it("asks for every scenario when it is empty", () => {
    expect(readCommandLine([], all)).toEqual({ scenarios: all, list: false, keep: false, quick: false, seed: 1 });
  });

  it("takes --only several times, and keeps the order of the demo", () => {
    const { scenarios } = readCommandLine(["--only", "redelivery", "--only=rolling-deploy"], all);
    expect(scenarios.map(({ name }) => name)).toEqual(["rolling-deploy", "redelivery"]);
  });

  it("answers an unknown scenario with the list, and 2", () => {
    expect(exitOf(["--only", "black-friday"])).toBe(2);
    expect(printed).toContain('There is no scenario "black-friday". There is: rolling-deploy, flash-sale, redelivery.');
  });

  it.each([[["--fast"]], [["rolling-deploy"]], [["--seed", "-1"]], [["--seed", "x"]], [["--only"]]])(
    "answers %j with a complaint, and 2",
    (words) => {
      expect(exitOf(words)).toBe(2);
      expect(printed).toContain("--help");
    },
  );

  it("answers --help with everything there is, and 0", () => {
    expect(exitOf(["--help"])).toBe(0);
    for (const word of ["--only", "--keep", "--list", "--quick", "--seed", "REDIS_URL", "130"])
      expect(printed).toContain(word);
  });
});
