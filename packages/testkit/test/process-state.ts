/** What the operating system says about a process. */
import { execFileSync } from "node:child_process";

function stateOf(pid: number): string {
  try {
    return execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).trim();
  } catch {
    return "";
  }
}

/** Whether the process exists; a zombie that nobody has reaped yet does not count. */
export function isAlive(pid: number): boolean {
  const state = stateOf(pid);
  return state !== "" && !state.startsWith("Z");
}

/** Whether the process is stopped by a signal. */
export function isStopped(pid: number): boolean {
  return stateOf(pid).startsWith("T");
}
