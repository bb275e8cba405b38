/** Runs the suite in a copy with a bug in it, and finds out who noticed. */
import { join } from "node:path";
import { command } from "../../scripts/check/step.ts";
import type { Hunt } from "./catalog.ts";

/** What a hunt found. */
export interface Catch {
  readonly layer: 1 | 2;
  readonly seed: string;
  /** The rule that was broken; null when nobody noticed. */
  readonly rule: string | null;
  /** Why the hunt itself failed, when it did. */
  readonly trouble: string | null;
  readonly tookMs: number;
}

const node = ["--conditions=@holdfast/source", "--disable-warning=ExperimentalWarning"];
const timeoutMs = 300_000;
const faultsS = 8;

function argumentsOf(hunt: Hunt, root: string, seed: string): string[] {
  if (hunt.layer === 1) {
    return [
      ...node,
      "test-chaos/schedules/main.ts",
      hunt.cast,
      "--seed",
      seed,
      "--runs",
      String(hunt.runs ?? 40),
      "--no-shrink",
    ];
  }
  const { only, nemeses, ground = "solid", topology = "single" } = hunt;
  return [
    ...node,
    "test-chaos/main.ts",
    "--rounds=1",
    `--seed=${seed}`,
    `--only=${only}`,
    `--ground=${ground}`,
    `--topology=${topology}`,
    `--faults-s=${faultsS}`,
    `--report=${join(root, "chaos")}`,
    ...(nemeses === undefined ? [] : ["--nemesis", nemeses]),
  ];
}

/** What the output says was broken: `BROKEN lock: rule: …`, or below the ✗ of a round `  lock: rule`. */
function ruleIn(output: string): string | null {
  const schedule = /^BROKEN (?!stage)(\S+: [^:]+)/m.exec(output)?.[1];
  if (schedule !== undefined) return schedule;
  const round = [...output.matchAll(/^ {2}(\w+: .+)$/gm)].map(([, rule]) => rule ?? "");
  const found = round.filter((rule) => !rule.startsWith("again"));
  // That too little happened may be a busy machine's doing: it is no catch.
  return found.find((rule) => !rule.includes("enough happened")) ?? null;
}

/**
 * Hunts once.
 * @param root the copy with the bug
 */
export async function hunt(how: Hunt, root: string, seed: string): Promise<Catch> {
  const startedMs = performance.now();
  const { code, output } = await command("node", argumentsOf(how, root, seed), { cwd: root, timeoutMs });
  const tookMs = performance.now() - startedMs;
  const rule = code === 0 ? null : ruleIn(output);
  // It came to no end: that says nothing about the bug.
  const trouble =
    code !== 0 && rule === null ? (/^\w*Error: .+$/m.exec(output)?.[0] ?? output.trim().slice(-300)) : null;
  return { layer: how.layer, seed, rule, trouble, tookMs };
}
