/** Starts a throw-away program that uses the package, as a test process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export interface Script {
  readonly child: ChildProcess;
  /** Its next line of output. */
  line(): Promise<string>;
}

export async function startScript(source: string): Promise<Script> {
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", "--input-type=module", "-e", source], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async line() {
      const next = await lines.next();
      if (next.done === true) throw new Error(`The script ended with ${child.exitCode ?? child.signalCode}.`);
      return next.value;
    },
  };
}
