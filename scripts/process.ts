/** Owns what is asked about processes of other runs. */

/** Whether a process with this id runs. What is left by one that does not may be swept away. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
