/**
 * What happened, in order, for a checker that runs afterwards: every process of a test writes its own history, and they are merged.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";

/** One thing that happened. */
export type HistoryEntry<T extends object> = T & {
  /** Milliseconds of the machine's monotonic clock: comparable between processes of one machine, until it restarts. */
  readonly atMs: number;
  /** Who recorded it. */
  readonly process: string;
  /** Its place among the entries of this process, from 0. */
  readonly index: number;
};

/** How to record. */
export interface HistoryOptions {
  /** Default: the process id. */
  readonly process?: string;
  /** Also append each entry to this file, before `record` returns: it is there even when the process is killed right after. */
  readonly path?: string;
}

/** A growing list of entries of one type, usually a union with a `kind`. */
export class History<T extends object> implements Disposable {
  readonly #list: HistoryEntry<T>[] = [];
  readonly #process: string;
  #file: number | undefined;

  constructor(options: HistoryOptions = {}) {
    this.#process = options.process ?? String(process.pid);
    if (options.path !== undefined) this.#file = openSync(options.path, "a");
  }

  /** Everything recorded here so far, in order. */
  get entries(): readonly HistoryEntry<T>[] {
    return this.#list;
  }

  /** Appends an entry with the time of this call. */
  record(event: T): HistoryEntry<T> {
    const atMs = Number(process.hrtime.bigint()) / 1e6;
    const entry: HistoryEntry<T> = { ...event, atMs, process: this.#process, index: this.#list.length };
    this.#list.push(entry);
    if (this.#file !== undefined) writeSync(this.#file, `${JSON.stringify(entry)}\n`);
    return entry;
  }

  /** Writes all entries as JSON lines. */
  async write(path: string): Promise<void> {
    await writeFile(path, this.#list.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  }

  /**
   * Reads files of JSON lines into one list in the order of time. A last line that is cut off, by a process killed while it wrote, is
   * left out.
   *
   * @throws SyntaxError when any other line is no JSON.
   */
  static async read<T extends object>(...paths: readonly string[]): Promise<HistoryEntry<T>[]> {
    const entries: HistoryEntry<T>[] = [];
    for (const path of paths) {
      const lines = (await readFile(path, "utf8")).split("\n");
      // What follows the last line break is empty, or the piece that was cut off.
      for (const line of lines.slice(0, -1)) {
        const entry: HistoryEntry<T> = JSON.parse(line);
        entries.push(entry);
      }
    }
    return entries.toSorted((a, b) => a.atMs - b.atMs || a.process.localeCompare(b.process) || a.index - b.index);
  }

  /** Closes the file; recording goes on in memory. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
