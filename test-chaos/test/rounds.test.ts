/**
 * The short part of the suite: real pods, real servers, and every nemesis once. `pnpm chaos` runs the same rounds for longer, with all
 * nemeses in each.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addWitnesses, hasStruck } from "../checkers/witness.ts";
import type { Witness } from "../checkers/witness.ts";
import { canStepClocks, nemeses } from "../faults/deck.ts";
import type { Ground } from "../faults/nemesis.ts";
import type { TopologyName } from "../history/record.ts";
import { repeatCommand } from "../report/summary.ts";
import { moduleOf, scenarioNames } from "../scenarios/catalog.ts";
import { playRound } from "../world/round.ts";

interface ShortRound {
  readonly topology: TopologyName;
  readonly ground: Ground;
  readonly nemeses: readonly string[];
}

const seed = process.env["HOLDFAST_SEED"] ?? "20261122";
const faultsMs = 8_000;
const stepsClocks = await canStepClocks();

const rounds: readonly ShortRound[] = [
  {
    topology: "single",
    ground: "solid",
    nemeses: [
      "pause-long",
      "kill",
      "block-loop",
      "collect",
      "swallow-reply",
      "redis-restart",
      "redis-freeze",
      "script-flush",
      "out-of-memory",
    ],
  },
  {
    topology: "single",
    ground: stepsClocks ? "steps-clock" : "solid",
    nemeses: [
      "pause-short",
      "reset",
      "repeat-request",
      ...(stepsClocks ? ["clock-forward", "clock-back", "pod-clock"] : []),
    ],
  },
  {
    topology: "single",
    ground: "forgets",
    nemeses: ["flush", "wrong-eviction-policy", "latency", "refuse", "terminate"],
  },
  {
    topology: "sentinel",
    ground: "forgets",
    nemeses: ["failover-kill", "failover-freeze", "partition", "lose-replies"],
  },
  {
    topology: "cluster",
    ground: "forgets",
    nemeses: ["failover-kill", "failover-freeze", "reshard", "cluster-handover", "lose-requests", "rolling-deploy"],
  },
];

describe("every nemesis over all primitives", { timeout: 900_000 }, () => {
  const witnessed: (readonly Witness[])[] = [];

  it.each(rounds)(
    "$topology, $ground: every rule holds under $nemeses",
    async ({ topology, ground, nemeses: names }) => {
      const folder = join(import.meta.dirname, "../../.reports/chaos", `test-${topology}-${ground}`);
      const modules = scenarioNames.map(moduleOf);
      const plan = { seed, topology, ground, modules, nemeses: names, pods: 3, faultsMs, folder };
      const { verdicts, witnesses } = await playRound(plan, () => undefined, new AbortController().signal);
      witnessed.push(witnesses);
      const broken = verdicts.filter(({ held }) => !held);
      const again = broken.length === 0 ? "" : `again: ${repeatCommand(plan)}; history in ${folder}`;
      expect({ again, broken }).toEqual({ again: "", broken: [] });
    },
  );

  it("each of them hit work in flight", () => {
    const witnesses = addWitnesses(witnessed);
    expect(witnesses.filter((witness) => !hasStruck(witness))).toEqual([]);
    const wanted = nemeses.filter(({ ground }) => stepsClocks || ground !== "steps-clock").map(({ name }) => name);
    const seen = new Set(witnesses.map(({ nemesis }) => nemesis));
    expect(wanted.filter((name) => !seen.has(name) && (stepsClocks || name !== "pod-clock"))).toEqual([]);
  });
});
