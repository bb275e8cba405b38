/** What `npm test` makes of its command line. */
import { describe, expect, it } from "vitest";
import { commandLine, WrongCommandLine } from "../check/command-line.ts";

const steps = ["lint", "tests"];

describe("the command line of npm test", () => {
  it("runs every step without one", () => {
    expect(commandLine([], steps)).toEqual({ help: undefined, list: false, bail: false, only: steps, filters: [] });
  });

  it("takes steps, parts of paths and what to do after a failure", () => {
    const asked = commandLine(["--only", "tests", "--bail", "packages/lock", "timer"], steps);
    expect(asked).toMatchObject({ only: ["tests"], bail: true, filters: ["packages/lock", "timer"] });
  });

  it.each([
    [["--only", "lint,test"], 'takes lint, tests; got "test"'],
    [["--only", ""], 'got ""'],
    [["--only"], "--only"],
    [["--onyl", "lint"], "--onyl"],
    [["--bail=no"], "--bail"],
  ])("says what is wrong with %j", (args, words) => {
    expect(() => commandLine(args, steps)).toThrow(WrongCommandLine);
    expect(() => commandLine(args, steps)).toThrow(words);
  });

  it("explains itself", () => {
    expect(commandLine(["-h"], steps).help).toContain("lint, tests");
  });
});
