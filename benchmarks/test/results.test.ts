/** What is kept of the runs, and the tables that are made from it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { measure } from "../src/figure.ts";
import type { Bench, Figure } from "../src/figure.ts";
import { documentOf } from "../src/report.ts";
import { keep, readResults, resultsOf } from "../src/results.ts";

let folder: URL;

beforeEach(() => {
  folder = pathToFileURL(`${mkdtempSync(join(tmpdir(), "holdfast-results-"))}/`);
});

afterEach(() => rmSync(folder, { recursive: true }));

const idle: Bench = {
  host: "",
  port: 0,
  flush: () => Promise.resolve(),
  info: () => Promise.resolve({}),
  resetCommands: () => Promise.resolve(),
  retain: () => undefined,
  commands: () => Promise.resolve(0),
};

/** A figure whose contestants answer these values one after the other. */
function figureOf(name: string, own: number[], peer: number[]): Figure {
  const answer = (values: number[]) => () => Promise.resolve(values.shift() as number);
  return {
    name,
    unit: "ns",
    aim: { text: "first", met: (median) => median("Holdfast") < median("peer") },
    contestants: { peer: answer(peer), Holdfast: answer(own) },
  };
}

async function run(name: string, figure: Figure, repetitions: number): Promise<void> {
  const measured = await measure(figure, idle, repetitions, () => undefined);
  const results = resultsOf({ name, peers: ["ioredis"], figures: [figure] }, "8.0.0", [measured]);
  await keep(folder, name, results, ["lock", "timer", "scope"]);
}

it("a run of one primitive replaces its figures, keeps the others, and keeps their order", async () => {
  await run("timer", figureOf("enqueue", [1, 2, 3], [4, 5, 6]), 3);
  await run("lock", figureOf("cycle", [1], [2]), 1);
  await run("timer", figureOf("drain", [9, 7, 8], [4, 5, 6]), 3);
  const kept = readResults(folder);
  expect(Object.keys(kept)).toEqual(["lock", "timer"]);
  expect(kept["timer"]).toMatchObject({
    machine: { node: process.version, redis: "8.0.0" },
    versions: { ioredis: expect.stringMatching(/^\d+\./u) as string },
    figures: [{ figure: "drain", aim: "first", reached: false, values: { Holdfast: { "": [9, 7, 8] } } }],
  });
});

it("the tables say what the results say: medians, spread, ratio and whether the aim is reached", async () => {
  await run("lock", figureOf("cycle", [10, 30, 20], [40, 60, 50]), 3);
  const text = readFileSync(new URL("RESULTS.md", folder), "utf8");
  expect(text).toContain("1 of 1 figures reach their aim");
  expect(text).toContain("Aim: first: **reached**. Repetitions: 3.");
  expect(text).toContain("| peer | 50.0 ns | 40.0 | 60.0 | 0.40× |");
  expect(text).toContain("| Holdfast | 20.0 ns | 10.0 | 30.0 |  |");
});

it("the tables have no ratio where there is none: to nothing, and of a value below zero", async () => {
  await run("lock", figureOf("early", [0], [0]), 1);
  await run("timer", figureOf("beyond the lease", [-3], [2]), 1);
  const text = readFileSync(new URL("RESULTS.md", folder), "utf8");
  expect(text).toContain("| peer | 0.00 ns | 0.00 | 0.00 | – |");
  expect(text).toContain("| peer | 2.00 ns | 2.00 | 2.00 | – |");
});

it("the tables that are committed are those of the results that are committed", () => {
  const committed = new URL("../", import.meta.url);
  expect(readFileSync(new URL("RESULTS.md", committed), "utf8")).toBe(documentOf(readResults(committed)));
});
