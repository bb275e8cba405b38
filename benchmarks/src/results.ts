/**
 * What is kept of the runs: results.json, and RESULTS.md, which is made from it. Each primitive is kept by itself with the machine and the
 * versions of its run, so that measuring one does not touch the others, and a run that is cut off keeps what it has finished.
 */
import { existsSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { arch, cpus, platform, totalmem } from "node:os";
import type { Benchmark, Measured } from "./figure.ts";
import { documentOf } from "./report.ts";

/** What the figures of a primitive were measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly redis: string;
}

/** The last whole run of one primitive. */
export interface PrimitiveResults {
  /** The day, `2026-11-28`. */
  readonly measuredOn: string;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly figures: readonly Measured[];
}

/** By name of the primitive. */
export type Results = Readonly<Record<string, PrimitiveResults>>;

function versionOf(name: string): string {
  // Not every package exports its manifest.
  const manifest = findPackageJSON(name, import.meta.url);
  if (manifest === undefined) throw new Error(`${name} is not installed`);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return version;
}

/** The figures of one whole run of a primitive, with where and when. */
export function resultsOf({ peers }: Benchmark, redisVersion: string, figures: readonly Measured[]): PrimitiveResults {
  return {
    measuredOn: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      system: `${platform()} ${arch()}`,
      node: process.version,
      redis: redisVersion,
    },
    versions: Object.fromEntries(peers.map((peer) => [peer, versionOf(peer)])),
    figures,
  };
}

/** What is kept in a folder; nothing yet where there is none. */
export function readResults(folder: URL): Results {
  const file = new URL("results.json", folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Results) : {};
}

/** Replaces a file as a whole: a run may be cut off at any time. */
async function replace(file: URL, text: string): Promise<void> {
  const draft = new URL(`${file.href}.draft`);
  await writeFile(draft, text);
  await rename(draft, file);
}

/** Makes RESULTS.md from results.json. */
export async function writeTables(folder: URL): Promise<void> {
  await replace(new URL("RESULTS.md", folder), documentOf(readResults(folder)));
}

/**
 * Puts one primitive in the place of what was kept of it, in a given order of all.
 * @param order names of the primitives
 */
export async function keep(
  folder: URL,
  name: string,
  results: PrimitiveResults,
  order: readonly string[],
): Promise<void> {
  const all: Record<string, PrimitiveResults> = { ...readResults(folder), [name]: results };
  const sorted = Object.fromEntries(order.flatMap((one) => (all[one] === undefined ? [] : [[one, all[one]]])));
  await replace(new URL("results.json", folder), `${JSON.stringify(sorted, null, 2)}\n`);
  await writeTables(folder);
}
