/**
 * Makes sure that nothing started by this package outlives the process that started it, also when that is killed with SIGKILL:
 * one guardian process (guardian-process.ts) per test process knows every child and every temporary directory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { fileURLToPath } from "node:url";

const groups = new Map<number, NodeJS.Signals | undefined>();
const directories = new Set<string>();
let guardian: ChildProcess | undefined;

/** From now on the process group led by `pid` is killed when this process ends; its leader gets `farewell` half a second earlier. */
export function watchGroup(pid: number, farewell?: NodeJS.Signals): void {
  groups.set(pid, farewell);
  tell({ watch: pid, farewell });
}

/** The process group is gone: its number may be given to somebody else, so it must not be killed any more. */
export function forgetGroup(pid: number): void {
  if (groups.delete(pid)) tell({ forget: pid });
}

/** From now on `path` is removed when this process ends. */
export function watchDirectory(path: string): void {
  directories.add(path);
  tell({ keep: path });
}

/** The directory was removed. */
export function forgetDirectory(path: string): void {
  if (directories.delete(path)) tell({ drop: path });
}

function tell(order: object): void {
  if (guardian === undefined) {
    guardian = start();
    for (const [pid, farewell] of groups) send({ watch: pid, farewell });
    for (const path of directories) send({ keep: path });
  }
  send(order);
}

// libuv writes to a pipe at once when it has room: the order is in the kernel's buffer when this returns, and the guardian will read
// it even if this process dies in the next instruction.
function send(order: object): void {
  guardian?.stdin?.write(`${JSON.stringify(order)}\n`);
}

function start(): ChildProcess {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const script = fileURLToPath(new URL(`./guardian-process.${extension}`, import.meta.url));
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: process.env["PATH"] ?? "" },
  });
  child.unref();
  // A pipe of node:child_process is a socket, though its type does not say so.
  if (child.stdin instanceof Socket) child.stdin.unref();
  // Whoever kills the guardian gets a new one with the next order; the write that found it dead is repeated by that start.
  child.stdin.on("error", () => undefined);
  child.once("exit", () => {
    if (guardian !== child) return;
    guardian = undefined;
    if (groups.size + directories.size > 0) tell({ forget: 0 });
  });
  return child;
}
