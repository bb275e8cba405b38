/** Tables for people and `results.json` for the next run. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { arch, cpus, platform, totalmem } from "node:os";
import Table from "cli-table3";
import { aimMet, median } from "./figure.ts";
import type { Measured } from "./figure.ts";

function format(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** One row per contestant and value: the median, the spread, and the ratio to Holdfast's. */
export function tableOf(measured: Measured): string {
  const { figure, values } = measured;
  const table = new Table({
    head: ["", "median", "lowest", "highest", "Holdfast is"],
    style: { head: [], border: [] },
  });
  for (const [contestant, named] of Object.entries(values)) {
    for (const [name, repetitions] of Object.entries(named)) {
      const own = values["Holdfast"]?.[name];
      const ratio =
        contestant === "Holdfast" || own === undefined ? "" : `${(median(own) / median(repetitions)).toFixed(2)}×`;
      const label = name === "" ? contestant : `${contestant}, ${name}`;
      table.push([
        label,
        `${format(median(repetitions))} ${figure.unit}`,
        format(Math.min(...repetitions)),
        format(Math.max(...repetitions)),
        ratio,
      ]);
    }
  }
  const verdict = aimMet(measured) ? "reached" : "MISSED";
  const note = figure.note === undefined ? "" : `\n${figure.note}`;
  return `${figure.name}\naim: ${figure.aim.text}: ${verdict}${note}\n${table.toString()}\n`;
}

function versionOf(name: string): string {
  // Not every package exports its manifest.
  const manifest = findPackageJSON(name, import.meta.url);
  if (manifest === undefined) throw new Error(`${name} is not installed`);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return version;
}

/** Everything that was measured, with the machine and the versions. */
export async function writeResults(
  file: URL,
  redisVersion: string,
  peers: readonly string[],
  results: Readonly<Record<string, readonly Measured[]>>,
): Promise<void> {
  const benchmarks = Object.fromEntries(
    Object.entries(results).map(([name, measured]) => [
      name,
      measured.map((one) => ({
        figure: one.figure.name,
        unit: one.figure.unit,
        aim: one.figure.aim.text,
        reached: aimMet(one),
        values: one.values,
      })),
    ]),
  );
  const machine = {
    cpu: cpus()[0]?.model.trim(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
    node: process.version,
    redis: redisVersion,
  };
  const versions = Object.fromEntries(peers.map((peer) => [peer, versionOf(peer)]));
  await writeFile(file, `${JSON.stringify({ machine, versions, benchmarks }, null, 2)}\n`);
}
