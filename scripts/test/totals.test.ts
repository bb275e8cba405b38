/** How `npm test` ends: with the totals, as its exit status. Some of its steps are run for that, on this very repository. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { root } from "../workspace.ts";

async function check(...args: readonly string[]): Promise<{ code: unknown; last: string; out: string }> {
  // The tests within are no workers of this run.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", "scripts/test.ts", ...args], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  return { code, out, last: out.trimEnd().split("\n").at(-1) ?? "" };
}

describe("the last line of npm test", () => {
  it("has the totals of the steps that were run", async () => {
    expect(await check("--only", "generate")).toMatchObject({ code: 0, last: "1 passed, 0 failed" });
  });

  it("counts each test beside the step", async () => {
    const { code, last, out } = await check("--only", "generate,tests", "scripts/test/command-line.test.ts");
    const [, tests] = /(\d+) tests passed, 0 failed/.exec(out) ?? [];
    expect(Number(tests)).toBeGreaterThan(3);
    expect({ code, last }).toEqual({ code: 0, last: `${Number(tests) + 2} passed, 0 failed` });
  });

  it("says that something failed when no test could be run, and so does the exit status", async () => {
    const done = await check("--only", "generate,tests", "no-test-has-this-name");
    expect(done).toMatchObject({ code: 1, last: "1 passed, 2 failed" });
  });
});
