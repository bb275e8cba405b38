/**
 * A figure is one question put to several contestants in turn: repetition by repetition, each on an emptied server, so that the drift of
 * a shared machine hits all of them alike. What counts is the ratio of medians within one run.
 */

/** The server that all contestants share, private to the run. */
export interface Bench {
  readonly host: string;
  readonly port: number;
  /** Removes all data; called before each turn. */
  readonly flush: () => Promise<void>;
  /** Values of one INFO section. */
  readonly info: (section: string) => Promise<Readonly<Record<string, string>>>;
  /** Sets the command statistics back to zero. */
  readonly resetCommands: () => Promise<void>;
  /**
   * Keeps a client that a turn has closed until the end of the run, as a service keeps its own: the engine throws away the machine code of
   * every function that has seen an object when that object is collected, and some later turn would measure how it is compiled again.
   */
  readonly retain: (client: object) => void;
  /** Commands that the server executed since the reset, those inside scripts included. */
  readonly commands: () => Promise<number>;
}

/** One turn: does the work and answers its value, or several values by name. */
export type Turn = (bench: Bench) => Promise<number | Readonly<Record<string, number>>>;

/** What the value has to reach, judged by medians. */
export interface Aim {
  readonly text: string;
  /** @param median of a contestant, or of one of its values */
  readonly met: (median: (contestant: string, value?: string) => number) => boolean;
}

/** One figure. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly aim: Aim;
  /** In the order of their turns. */
  readonly contestants: Readonly<Record<string, Turn>>;
  /** Where a peer guarantees less, or anything else that a reader must know. */
  readonly note?: string;
  /** Turns of each contestant when they take long; otherwise as asked for. */
  readonly repetitionsMax?: number;
  /** Turns of each contestant before the first that counts: what is asked is how a service runs that has run for a while. */
  readonly warmUps?: number;
}

/** All figures of one primitive. */
export interface Benchmark {
  readonly name: string;
  /** The npm packages that it is compared with, or stands on. */
  readonly peers: readonly string[];
  readonly figures: readonly Figure[];
}

/** The values of one contestant, a list of repetitions for each name; a single value has the name "". */
export type Values = Readonly<Record<string, readonly number[]>>;

/** A figure with what was measured, as it is kept. */
export interface Measured {
  readonly figure: string;
  readonly unit: string;
  readonly aim: string;
  readonly reached: boolean;
  readonly note?: string;
  readonly values: Readonly<Record<string, Values>>;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The value below which a part of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;
}

/**
 * Takes away what the turn before has just left, so that nobody pays for another's garbage. Only the young generation: a full collection
 * also throws away the machine code of every function that has seen the clients of that turn, and each turn would measure how the engine
 * compiles it again. A service keeps its clients, and its code.
 */
function sweep(): void {
  globalThis.gc?.({ type: "minor", execution: "sync" });
}

/** Lets every contestant take its turns. */
export async function measure(
  figure: Figure,
  bench: Bench,
  repetitions: number,
  onProgress: (contestant: string, repetition: number) => void,
): Promise<Measured> {
  globalThis.gc?.();
  const values: Record<string, Record<string, number[]>> = {};
  const last = Math.min(repetitions, figure.repetitionsMax ?? repetitions);
  for (let repetition = 1 - (figure.warmUps ?? 0); repetition <= last; repetition += 1) {
    for (const [contestant, turn] of Object.entries(figure.contestants)) {
      onProgress(contestant, repetition);
      await bench.flush();
      sweep();
      const result = await turn(bench);
      if (repetition < 1) continue;
      const named = typeof result === "number" ? { "": result } : result;
      const ofContestant = (values[contestant] ??= {});
      for (const [name, value] of Object.entries(named)) (ofContestant[name] ??= []).push(value);
    }
  }
  const { name, unit, aim, note } = figure;
  const reached = aim.met((contestant, value = "") => median(values[contestant]?.[value] ?? [Number.NaN]));
  return { figure: name, unit, aim: aim.text, reached, ...(note !== undefined && { note }), values };
}
