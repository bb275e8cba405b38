/**
 * A child process that cannot outlive this one. It leads its own process group and is known to the guardian before its program
 * starts: a shell waits for one line on standard input, which is written only after the guardian was told, and then becomes the
 * program. If this process dies in between, the line never comes and the shell ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { forgetGroup, watchGroup } from "./guardian.ts";

/** How a process ended. */
export interface ProcessExit {
  /** The exit status, or `null` when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it, or `null`. */
  readonly signal: NodeJS.Signals | null;
}

/** What to run. */
export interface GuardedChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Sent by the guardian half a second before SIGKILL, for a program that has something to give back. */
  readonly farewell?: NodeJS.Signals;
  /** Where its output goes: to nowhere, to pipes, to this process' own, or to an open file. Default `ignore`. */
  readonly output?: "ignore" | "pipe" | "inherit" | number;
  /** Whether to open a Node.js IPC channel, and a second channel on file descriptor 4. Default false. */
  readonly ipc?: boolean;
}

const gate = 'IFS= read -r go && exec "$@" </dev/null';

/** One running program and everything it starts. */
export class GuardedChild {
  /** Resolves once, when the program has ended. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  readonly process: ChildProcess;
  readonly pid: number;
  /** How it ended, or `undefined` while it runs. */
  exit: ProcessExit | undefined;

  private constructor(child: ChildProcess, pid: number) {
    this.process = child;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.exit = { code, signal };
        // What the program started does not stay behind either: a container ends with its first process.
        signalGroup(pid, "SIGKILL");
        forgetGroup(pid);
        resolve(this.exit);
      });
    });
  }

  /**
   * Starts the program.
   *
   * @throws Error when no process could be started. A program that is missing shows as exit status 126 or 127.
   */
  static async start(options: GuardedChildOptions): Promise<GuardedChild> {
    const output = options.output ?? "ignore";
    const child = spawn("/bin/sh", ["-c", gate, "sh", options.command, ...options.args], {
      stdio: ["pipe", output, output, ...(options.ipc === true ? (["ipc", "pipe"] as const) : [])],
      detached: true,
      ...(options.ipc === true ? { serialization: "advanced" } : {}),
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    const { pid } = child;
    if (pid === undefined) {
      const [cause]: unknown[] = await once(child, "error");
      throw new Error(`Could not start ${options.command}.`, { cause });
    }
    child.on("error", () => undefined);
    watchGroup(pid, options.farewell);
    const guarded = new GuardedChild(child, pid);
    child.stdin?.on("error", () => undefined);
    child.stdin?.end("go\n");
    return guarded;
  }

  /** Sends a signal to the program alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.exit === undefined) this.process.kill(signal);
  }

  /** Sends a signal to the program and everything it started. */
  signalAll(signal: NodeJS.Signals): void {
    if (this.exit === undefined) signalGroup(this.pid, signal);
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // Nobody left in the group, or only zombies (macOS says EPERM for those).
    if (!(error instanceof Error && "code" in error && (error.code === "ESRCH" || error.code === "EPERM"))) throw error;
  }
}
