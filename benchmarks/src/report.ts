/** What was measured as tables: on the terminal, and in RESULTS.md. */
import Table from "cli-table3";
import { median } from "./figure.ts";
import type { Measured } from "./figure.ts";
import type { Results } from "./results.ts";

const head = ["", "median", "lowest", "highest", "Holdfast is"];

function format(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** How many times the other value the own one is; nothing where there is no such number, as for a time before the clock was started. */
function ratioOf(own: number, other: number): string {
  return own >= 0 && other > 0 ? `${(own / other).toFixed(2)}×` : "–";
}

/** One row per contestant and value: the median, the spread, and the ratio of Holdfast's to it. */
function rowsOf({ unit, values }: Measured): string[][] {
  return Object.entries(values).flatMap(([contestant, named]) =>
    Object.entries(named).map(([name, repetitions]) => {
      const own = values["Holdfast"]?.[name];
      const ratio = contestant === "Holdfast" || own === undefined ? "" : ratioOf(median(own), median(repetitions));
      return [
        name === "" ? contestant : `${contestant}, ${name}`,
        `${format(median(repetitions))} ${unit}`.trimEnd(),
        format(Math.min(...repetitions)),
        format(Math.max(...repetitions)),
        ratio,
      ];
    }),
  );
}

/** For the terminal. */
export function tableOf(measured: Measured): string {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rowsOf(measured));
  const note = measured.note === undefined ? "" : `\n${measured.note}`;
  const verdict = measured.reached ? "reached" : "MISSED";
  return `${measured.figure}\naim: ${measured.aim}: ${verdict}${note}\n${table.toString()}\n`;
}

function markdownOf(measured: Measured): string[] {
  const repetitions = Math.max(
    ...Object.values(measured.values).flatMap((named) => Object.values(named).map((v) => v.length)),
  );
  const rows = [head, head.map((_, index) => (index === 0 ? "---" : "---:")), ...rowsOf(measured)];
  return [
    `### ${measured.figure}`,
    "",
    `Aim: ${measured.aim}: **${measured.reached ? "reached" : "missed"}**. Repetitions: ${repetitions}.`,
    ...(measured.note === undefined ? [] : ["", measured.note]),
    "",
    ...rows.map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`),
    "",
  ];
}

/** RESULTS.md. */
export function documentOf(results: Results): string {
  const all = Object.values(results).flatMap(({ figures }) => figures);
  const lines = [
    "# Results",
    "",
    "Made from `results.json` by `pnpm bench`, which measures, or `pnpm bench --tables`, which does not. Not written by hand.",
    `${all.filter(({ reached }) => reached).length} of ${all.length} figures reach their aim.`,
    "",
  ];
  for (const [name, { measuredOn, machine, versions, figures }] of Object.entries(results)) {
    const { cpu, cores, memoryGiB, system, node, redis } = machine;
    const peers = Object.entries(versions).map(([peer, version]) => `${peer} ${version}`);
    lines.push(
      `## ${name}`,
      "",
      `${measuredOn}, ${cores} × ${cpu}, ${memoryGiB} GiB, ${system}, Node ${node}, Redis ${redis}; ${peers.join(", ")}.`,
      "",
      ...figures.flatMap(markdownOf),
    );
  }
  return `${lines.join("\n").trimEnd()}\n`;
}
