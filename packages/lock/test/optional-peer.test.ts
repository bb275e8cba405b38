/** redlock is an optional peer: who does not use the quorum lock need not install it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);

/** As Node answers where the package is not installed. */
const withoutRedlock = `
import { registerHooks } from "node:module";
registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== "redlock") return next(specifier, context);
    throw Object.assign(new Error("Cannot find package 'redlock'"), { code: "ERR_MODULE_NOT_FOUND" });
  },
});`;

/** What a process without redlock says that imports a file of ours. */
async function load(file: string): Promise<string> {
  const url = new URL(`../src/${file}`, import.meta.url).href;
  const program = `await import(${JSON.stringify(url)}).then(() => console.log("loaded"), (error) => console.log(error.code, error.message))`;
  const hooks = `data:text/javascript,${encodeURIComponent(withoutRedlock)}`;
  const args = ["--conditions=@holdfast/source", "--import", hooks, "--input-type=module", "--eval", program];
  return (await run(process.execPath, args)).stdout.trim();
}

it("without redlock the lock and its guards load, and the quorum lock says what is missing", async () => {
  expect(await load("index.ts")).toBe("loaded");
  expect(await load("guard/index.ts")).toBe("loaded");
  expect(await load("redlock/index.ts")).toBe("ERR_MODULE_NOT_FOUND Cannot find package 'redlock'");
});
