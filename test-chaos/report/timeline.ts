/** Draws what happened in a round over time: one lane for the servers, one for each pod, one for each lock, one for each scenario. */
import { notesOf } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import { isLifeOf } from "../history/window.ts";
import { escapeHtml } from "./escape.ts";

/** A piece of a lane. */
interface Bar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly tone: string;
  readonly words: string;
  /** From where to where in the height of its lane; all of it when left out. */
  readonly share?: readonly [from: number, to: number];
}

interface Lane {
  readonly name: string;
  readonly bars: readonly Bar[];
}

const widthPx = 1_400;
const labelPx = 120;
const lanePx = 18;
const tickMs = 120;
const axisMs = 5_000;
const barPx = lanePx - 5;

/** The lanes of a round as one SVG. */
export function timelineOf(record: RoundRecord): string {
  const first = record.entries[0]?.atMs ?? 0;
  const last = Math.min(record.finishedAtMs, record.entries.at(-1)?.atMs ?? first + 1);
  const lanes = [serverLane(record), ...podLanes(record), ...lockLanes(record), ...scenarioLanes(record)];
  const x = (atMs: number): number =>
    labelPx + ((Math.min(Math.max(atMs, first), last) - first) / Math.max(1, last - first)) * (widthPx - labelPx);
  const rows = lanes.map((lane, index) => drawLane(lane, index, x));
  const heal = Number.isFinite(record.healedAtMs)
    ? `<line x1="${x(record.healedAtMs).toFixed(1)}" x2="${x(record.healedAtMs).toFixed(1)}" y1="0" y2="${lanes.length * lanePx}" class="heal"><title>healed</title></line>`
    : "";
  const axis = drawAxis(first, last, lanes.length * lanePx, x);
  return `<svg viewBox="0 0 ${widthPx} ${(lanes.length + 1) * lanePx}" role="img">${axis}${rows.join("")}${heal}</svg>`;
}

/** Seconds since the beginning, below the lanes. */
function drawAxis(firstMs: number, lastMs: number, bottom: number, x: (atMs: number) => number): string {
  const marks: string[] = [];
  for (let atMs = firstMs; atMs <= lastMs; atMs += axisMs) {
    const at = x(atMs).toFixed(1);
    marks.push(
      `<line x1="${at}" x2="${at}" y1="0" y2="${bottom}" class="axis"/><text x="${at}" y="${bottom + 12}">${(atMs - firstMs) / 1_000} s</text>`,
    );
  }
  return marks.join("");
}

function drawLane({ name, bars }: Lane, index: number, x: (atMs: number) => number): string {
  const top = index * lanePx;
  const drawn = bars.map(({ fromMs, toMs, tone, words, share: [above, below] = [0, 1] }) => {
    const [from, to] = [x(fromMs), x(toMs)];
    const [y, height] = [top + 2 + above * barPx, (below - above) * barPx];
    return `<rect class="${tone}" x="${from.toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(1, to - from).toFixed(1)}" height="${height.toFixed(1)}"><title>${escapeHtml(words)}</title></rect>`;
  });
  return `<text x="0" y="${top + 13}">${escapeHtml(name)}</text>${drawn.join("")}`;
}

function spanOf(fromMs: number, toMs: number): string {
  return Number.isFinite(toMs) ? `${(toMs - fromMs).toFixed(0)} ms` : "no end";
}

function serverLane({ faults }: RoundRecord): Lane {
  const bars = faults
    .filter(({ pods, nemesis }) => pods.length !== 1 && nemesis !== "rolling-deploy")
    .map(({ beginMs, endMs, what }) => ({
      fromMs: beginMs,
      toMs: endMs,
      tone: "fault",
      words: `${what}, ${spanOf(beginMs, endMs)}`,
    }));
  return { name: "Redis", bars };
}

function podLanes({ entries, faults }: RoundRecord): Lane[] {
  const pods = [...new Set(faults.flatMap((fault) => fault.pods))].toSorted();
  return pods.map((pod) => {
    const own = faults
      .filter((fault) => fault.pods.includes(pod) && (fault.pods.length === 1 || fault.nemesis === "rolling-deploy"))
      .map(({ beginMs, endMs, what }) => ({
        fromMs: beginMs,
        toMs: endMs,
        tone: "fault",
        words: `${what}, ${spanOf(beginMs, endMs)}`,
      }));
    const stood = entries.flatMap((entry) =>
      entry.kind === "stood" && isLifeOf(entry.process, pod)
        ? [
            {
              fromMs: entry.atMs - entry.forMs,
              toMs: entry.atMs,
              tone: "stood",
              words: `stood still for ${entry.forMs.toFixed(0)} ms`,
            },
          ]
        : [],
    );
    return { name: pod, bars: [...own, ...stood] };
  });
}

function lockLanes(record: RoundRecord): Lane[] {
  const locks = record.operations.filter(({ scenario }) => scenario === "lock");
  const ends = new Map<string, number>();
  for (const { resource, values, atMs } of notesOf(record.entries, "lock", "told"))
    ends.set(`${resource} ${String(values["token"])}`, atMs);
  return [...Map.groupBy(locks, ({ resource }) => resource)]
    .toSorted(([one], [other]) => one.localeCompare(other))
    .map(([name, calls]) => {
      const grants = calls.filter(({ call, outcome }) => call === "acquire" && outcome === "ok");
      // Who was killed says no more: nobody can tell longer than until the next grant.
      const nextGrantMs = (token: number): number =>
        Math.min(
          ...grants.flatMap(({ answer, answeredAtMs }) => (Number(answer["token"]) > token ? [answeredAtMs] : [])),
        );
      const bars = calls.flatMap(({ call, outcome, answer, asked, answeredAtMs, process }): Bar[] => {
        if (call === "acquire" && outcome === "ok") {
          const toMs = ends.get(`${name} ${String(answer["token"])}`) ?? nextGrantMs(Number(answer["token"]));
          const words = `${process} held ${name} with token ${String(answer["token"])} for ${spanOf(answeredAtMs, toMs)}`;
          return [{ fromMs: answeredAtMs, toMs, tone: `hold ${process.split(".")[0]}`, words }];
        }
        if (call !== "append" || outcome !== "refused") return [];
        const words = `${process}: write with token ${String(asked["token"])} refused (${String(answer["error"])})`;
        return [{ fromMs: answeredAtMs, toMs: answeredAtMs, tone: "refused", words }];
      });
      return { name: `lock ${name}`, bars };
    });
}

/** How many calls ended how, in each span of time. */
function scenarioLanes({ operations }: RoundRecord): Lane[] {
  return [...Map.groupBy(operations, ({ scenario }) => scenario)].map(([name, calls]) => {
    const spans = Map.groupBy(
      calls.filter(({ answeredAtMs }) => Number.isFinite(answeredAtMs)),
      ({ answeredAtMs }) => Math.floor(answeredAtMs / tickMs),
    );
    const bars = [...spans].flatMap(([tick, ended]) => {
      const of = (outcome: string): number => ended.filter((call) => call.outcome === outcome).length;
      const [ok, refused, unknown] = [of("ok"), of("refused"), of("unknown")];
      const words = `${ok} ok, ${refused} refused, ${unknown} unknown`;
      const [fromMs, toMs] = [tick * tickMs, (tick + 1) * tickMs];
      let below = 1;
      return Object.entries({ ok, no: refused, unknown }).flatMap(([tone, count]): Bar[] => {
        if (count === 0) return [];
        const [from, to] = [below - count / ended.length, below];
        below = from;
        return [{ fromMs, toMs, tone, words, share: [from, to] }];
      });
    });
    return { name, bars };
  });
}
