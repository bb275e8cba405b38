/** Owns the proof that faults happened: how many strikes of each nemesis hit work in flight. A nemesis that hit nothing has shown nothing. */
import type { Nemesis } from "../faults/nemesis.ts";
import type { RoundRecord } from "../history/record.ts";
import { callsHit } from "../history/window.ts";

/** What one nemesis has done in a round. */
export interface Witness {
  readonly nemesis: string;
  readonly strikes: number;
  /** Strikes during which calls were under way in the pods they were aimed at. */
  readonly struckWork: number;
  /** Calls that were under way. */
  readonly calls: number;
  /** What the network or the server counted: replies swallowed, keys evicted, …; null where nothing counts. */
  readonly hits: number | null;
}

/** The witnesses of a round: one for each nemesis of its deck. */
export function witnessesOf(record: RoundRecord, deck: readonly Nemesis[]): Witness[] {
  return deck.map(({ name }) => {
    const strikes = record.faults.filter(({ nemesis }) => nemesis === name);
    const calls = strikes.map((strike) => callsHit(strike, record.operations));
    const counted = strikes.flatMap(({ hits }) => (hits === undefined ? [] : [hits]));
    return {
      nemesis: name,
      strikes: strikes.length,
      struckWork: calls.filter((count) => count > 0).length,
      calls: calls.reduce((sum, count) => sum + count, 0),
      hits: counted.length === 0 ? null : counted.reduce((sum, count) => sum + count, 0),
    };
  });
}

/** Adds up the witnesses of several rounds. */
export function addWitnesses(rounds: readonly (readonly Witness[])[]): Witness[] {
  const total = new Map<string, Witness>();
  for (const witness of rounds.flat()) {
    const before = total.get(witness.nemesis);
    total.set(
      witness.nemesis,
      before === undefined
        ? witness
        : {
            nemesis: witness.nemesis,
            strikes: before.strikes + witness.strikes,
            struckWork: before.struckWork + witness.struckWork,
            calls: before.calls + witness.calls,
            hits: before.hits === null && witness.hits === null ? null : (before.hits ?? 0) + (witness.hits ?? 0),
          },
    );
  }
  return [...total.values()];
}

/** Whether the nemesis hit work in flight, by the history and, where something counts, by that count as well. */
export function hasStruck({ struckWork, hits }: Witness): boolean {
  return struckWork > 0 && hits !== 0;
}
