/**
 * Private directories that disappear with the process that made them.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forgetDirectory, watchDirectory } from "./guardian.ts";

/** Makes a directory that only this user can read, removed at the latest when this process ends. */
export async function makeTemporaryDirectory(kind: string): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), `holdfast-${kind}-`));
  watchDirectory(path);
  return path;
}

/** Removes a directory made by {@link makeTemporaryDirectory}. Safe to repeat. */
export async function removeTemporaryDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  forgetDirectory(path);
}
