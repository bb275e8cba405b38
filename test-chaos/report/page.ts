/** The page of a run: self-contained, so that it can be mailed. Rounds are added as they end; the page is written anew each time. */
import { overlapsIn } from "../checkers/lock.ts";
import type { Verdict } from "../checkers/verdict.ts";
import type { Witness } from "../checkers/witness.ts";
import { hasStruck } from "../checkers/witness.ts";
import type { RoundResult } from "../world/round.ts";
import { escapeHtml } from "./escape.ts";
import { histogramOf } from "./histogram.ts";
import type { RoundSummary, RunSummary } from "./summary.ts";
import { timelineOf } from "./timeline.ts";

const style = `
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: 2px 12px 2px 0; text-align: left; vertical-align: top; }
svg { width: 100%; max-width: 1400px; font: 10px system-ui, sans-serif; background: #fafafa; } .histogram { max-width: 700px; }
code { background: #f2f2f2; padding: 1px 4px; } .bad { color: #b00020; font-weight: 600; } .good { color: #1b7f3b; }
.fault { fill: #e07a5f; color: #e07a5f; } .stood { fill: #444; color: #444; } .ok { fill: #9cc5b0; color: #9cc5b0; }
.no { fill: #c9bfd6; color: #c9bfd6; } .unknown { fill: #f2c14e; color: #f2c14e; } .refused { fill: #b00020; color: #b00020; }
.heal { stroke: #1b7f3b; color: #1b7f3b; stroke-dasharray: 3 3; stroke-width: 2; } .axis { stroke: #e4e4e4; }
.hold { fill: #3d5a80; color: #3d5a80; } .pod-2 { fill: #2a9d8f; color: #2a9d8f; } .pod-3 { fill: #8a6fb0; color: #8a6fb0; }
.pod-4 { fill: #b08a3d; color: #b08a3d; } .legend span { margin-right: 1.4em; white-space: nowrap; }
.legend b::before { content: "■ "; }
summary { cursor: pointer; margin: .6em 0; }`;

/** The part of a page that is about one round. */
export function roundSection(result: RoundResult, summary: RoundSummary): string {
  const { verdicts, witnesses, record } = result;
  const { calls, seed, topology, ground, broken, repeat } = summary;
  const judged =
    broken.length === 0
      ? `<span class="good">every rule held</span>`
      : `<span class="bad">${broken.length} rules broken</span>`;
  return `<details${broken.length > 0 ? " open" : ""}><summary>${escapeHtml(`${topology}, ${ground}, seed ${seed}`)}: ${judged},
${calls.ok} calls ok, ${calls.refused} refused, ${calls.unknown} unknown, ${overlapsIn(record)} overlaps of lock holders</summary>
<p>Again: <code>${escapeHtml(repeat)}</code></p>
${timelineOf(record)}
<h3>Rules</h3>${verdictTable(verdicts)}
<h3>Faults</h3>${witnessTable(witnesses)}
<h3>Lateness of timers in ms</h3>${histogramOf(record)}
</details>`;
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ scenario, rule, held, checked, violations }) => {
    const found = violations.map(escapeHtml).join("<br>");
    return `<tr><td class="${held ? "good" : "bad"}">${held ? "held" : "broken"}</td><td>${escapeHtml(scenario)}</td><td>${escapeHtml(rule)}</td><td>${checked}</td><td>${found}</td></tr>`;
  });
  return `<table><tr><th></th><th>scenario</th><th>rule</th><th>looked at</th><th></th></tr>${rows.join("")}</table>`;
}

function witnessTable(witnesses: readonly Witness[]): string {
  const rows = witnesses.map((witness) => {
    const { nemesis, strikes, struckWork, calls, hits } = witness;
    return `<tr><td class="${hasStruck(witness) ? "good" : "bad"}">${escapeHtml(nemesis)}</td><td>${strikes}</td><td>${struckWork}</td><td>${calls}</td><td>${hits ?? ""}</td></tr>`;
  });
  return `<table><tr><th>nemesis</th><th>strikes</th><th>that hit work in flight</th><th>calls under way</th><th>counted hits</th></tr>${rows.join("")}</table>`;
}

const tones: Readonly<Record<string, string>> = {
  fault: "a fault",
  stood: "a process stood still",
  hold: "lock held by pod-1",
  "pod-2": "by pod-2",
  "pod-3": "by pod-3",
  refused: "a write refused as stale",
  ok: "calls done",
  no: "refused",
  unknown: "outcome unknown",
};

function legend(): string {
  return Object.entries(tones)
    .map(([tone, words]) => `<span><b class="${tone}"></b>${words}</span>`)
    .join("");
}

/** The whole page. */
export function pageOf(run: RunSummary, sections: readonly string[]): string {
  const idle =
    run.idle.length === 0 ? "" : `<p class="bad">Hit no work in flight: ${escapeHtml(run.idle.join(", "))}</p>`;
  const verdict = run.held ? `<span class="good">held</span>` : `<span class="bad">did not hold</span>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Chaos, seed ${escapeHtml(run.seed)}</title><style>${style}</style>
<h1>Chaos, seed ${escapeHtml(run.seed)}: ${verdict}</h1>
<p>${run.rounds.length} rounds. Time runs from left to right; move the pointer over a bar to read it. The dashed line is the healing.</p>
<p class="legend">${legend()}</p>${idle}
${sections.join("\n")}
<h2>All faults</h2>${witnessTable(run.witnesses)}</html>\n`;
}
