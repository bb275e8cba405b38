/**
 * Owns what a step of `npm test` is, and the way it runs a command: the output is kept, shown only when the step fails, and can drive the
 * live status while it runs.
 */
import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { root } from "../workspace.ts";

/** What a step found. */
export interface Outcome {
  readonly kind: "passed" | "failed";
  /** A few words for the summary: `412 tests`. */
  readonly note: string;
  /** What to read when it failed. */
  readonly output: string;
  /** Tests within the step; the step itself is counted besides. */
  readonly tests?: { readonly passed: number; readonly failed: number };
}

/** A check with a name. */
export interface Step {
  readonly name: string;
  /** @param report shows a few words on the live status line */
  readonly run: (report: (words: string) => void) => Promise<Outcome>;
}

/** A finished command. */
export interface Finished {
  readonly code: number;
  /** What it printed on both streams. */
  readonly output: string;
  /** What it printed on standard output alone. */
  readonly printed: string;
}

/** How to run a command. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly onLine?: (line: string) => void;
}

const running = new Set<ReturnType<typeof spawn>>();

/** Ends every command that still runs; for the moment in which the suite itself is told to end. */
export function stopCommands(): void {
  for (const child of running) child.kill("SIGTERM");
}

/**
 * Runs a command of the workspace's `node_modules/.bin` or of PATH to its end.
 * @param options `timeoutMs` kills it, by default after 30 minutes
 * @returns its exit code (128 when a signal ended it) and all its output
 */
export async function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  const path = [join(root, "node_modules/.bin"), process.env["PATH"]].join(delimiter);
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...options.env, PATH: path };
  const child = spawn(name, args, { cwd: options.cwd ?? root, env, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 30 * 60_000);
  let output = "";
  let printed = "";
  let rest = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      output += text;
      if (stream === child.stdout) printed += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) options.onLine?.(line);
    });
  }
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 128));
    });
    return { code, output, printed };
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

/** A step that is one command and passes when it ends with 0. */
export function commandStep(
  name: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Step {
  const run = async (): Promise<Outcome> => {
    const { code, output } = await command(program, args, { env });
    return { kind: code === 0 ? "passed" : "failed", note: "", output };
  };
  return { name, run };
}

/** A step's outcome from a list of what is wrong. */
export function fromProblems(problems: readonly string[], note: string): Outcome {
  return { kind: problems.length === 0 ? "passed" : "failed", note, output: problems.join("\n") };
}
