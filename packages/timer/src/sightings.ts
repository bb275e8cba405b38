/**
 * What this process knows of the time on a shard: the latest server time in any answer of that shard, to any client here. Whoever asks
 * afterwards has asked after that time, however coarse its own estimate of the server's clock. So a schedule that follows the answer of a
 * cancel in the same process is never taken for one that was overtaken by it (T5).
 *
 * An earlier time than what was seen long before says that the clock went back; it is the one that counts from then on. Otherwise whatever
 * was asked for would lie in the time to come, and follow no cancel that anybody remembers, until the clock has caught up.
 *
 * One entry per shard that the process has used. A layout holds the time of founding in microseconds, so two servers are not confused.
 */

/** A server time of a shard, in microseconds, that has passed. */
export interface Sighting {
  readonly layout: string;
  readonly us: number;
}

/** Answers of several connections may overtake one another by so much, in microseconds. */
const overtakenMaxUs = 1_000_000;

const latest = new Map<string, Sighting>();

/** The latest sighting of a shard. */
export function sightingOf(stateKey: string): Sighting | undefined {
  return latest.get(stateKey);
}

/** An answer of a shard has arrived. */
export function sighted(stateKey: string, layout: string, us: number): void {
  const known = latest.get(stateKey);
  const isNews = known?.layout !== layout || us > known.us || us < known.us - overtakenMaxUs;
  if (isNews) latest.set(stateKey, { layout, us });
}
