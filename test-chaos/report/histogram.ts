/** Draws how late timers were delivered, by the server's clock, on a scale that doubles. */
import { notesOf } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";

const edgesMs = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192];
const barPx = 46;
const heightPx = 90;

/** Deliveries in each span of lateness; the last one is open. */
export function latenessCounts(record: RoundRecord): number[] {
  const counts = Array.from({ length: edgesMs.length + 1 }, () => 0);
  for (const { values } of notesOf(record.entries, "timer", "delivered")) {
    const lateMs = Number(values["latenessMs"]);
    const index = edgesMs.findIndex((edge) => lateMs < edge);
    const at = index === -1 ? edgesMs.length : index;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return counts;
}

/** The histogram as an SVG; empty when no timer was delivered. */
export function histogramOf(record: RoundRecord): string {
  const counts = latenessCounts(record);
  const most = Math.max(...counts);
  if (most === 0) return "";
  const bars = counts.map((count, index) => {
    const height = Math.round((Math.log2(count + 1) / Math.log2(most + 1)) * heightPx);
    const label = index === edgesMs.length ? "more" : `<${edgesMs[index]}`;
    const left = index * barPx;
    return `<rect class="ok" x="${left}" y="${heightPx - height + 12}" width="${barPx - 6}" height="${height}"/><text x="${left}" y="${heightPx + 26}">${label.replace("<", "&lt;")}</text><text x="${left}" y="${heightPx - height + 9}">${count === 0 ? "" : count}</text>`;
  });
  return `<svg viewBox="0 0 ${counts.length * barPx} ${heightPx + 32}" class="histogram" role="img">${bars.join("")}</svg>`;
}
