/**
 * Stock as files: how deliveries and counts arrive, and how levels leave. Read piece by piece, so a file may be larger than memory; a row
 * that is wrong ends the import with its line, and what was applied before stays applied and is not applied again by the next try under
 * the same operation id.
 */
import { integer, integerOr, oneOf, optionsObject, text } from "@holdfast/core";
import { CsvReader, csvField } from "./csv.ts";
import { StockFileError } from "./errors.ts";
import type { Inventory } from "./inventory.ts";
import { quantityMax } from "./lines.ts";
import type { Line } from "./lines.ts";
import type { Cursor } from "./movement.ts";
import { choice } from "./order.ts";
import { halfway, unfinished } from "./failures.ts";
import type { SeedOptions } from "./requests.ts";
import type { SeedResult } from "./results.ts";

/** Of a file: comma-separated values with the columns `sku` and `quantity`, or one JSON object with these fields on each line. */
export type StockFormat = "csv" | "jsonl";

/** How far an import has come. */
export interface ImportProgress {
  /** Rows read. */
  readonly rows: number;
  /** Units in them. */
  readonly units: number;
  /** Rows applied. */
  readonly applied: number;
}

/** Options of an import. */
export interface ImportOptions {
  readonly format: StockFormat;
  /** Names the import: another try under the same id applies nothing twice. */
  readonly operationId: string;
  /** `restock` adds what arrived (default); `count` sets what is on hand if nothing moved since `ifCursor`. */
  readonly mode?: "restock" | "count" | undefined;
  /** For `count`. */
  readonly ifCursor?: Cursor | undefined;
  /** Read and check everything, apply nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Rows of one request, 1 to 1,000. Another try has to use the same. Default 500. */
  readonly rowsMax?: number | undefined;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/**
 * What became of an import. `seed` is there for a count that was not a dry run: its last step. `refused`: the rows that are not `applied`
 * were not set.
 */
export interface ImportResult extends ImportProgress {
  readonly kind: "imported" | "checked" | "refused";
  readonly seed?: SeedResult;
}

/** Where the text comes from: all of it, or pieces, such as a file's stream. */
export type StockSource = string | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** Rows of a count that are set in one step, however many a request of a delivery has: the fewer steps, the less can move between them. */
const countMax = 1_000;

interface Row extends Line {
  readonly line: number;
}

function rowOf(line: number, sku: unknown, quantity: unknown, min: number): Row {
  try {
    return { line, sku: text("sku", sku), quantity: integer("quantity", quantity, { min, max: quantityMax }) };
  } catch (error) {
    throw new StockFileError(line, (error as Error).message, { cause: error });
  }
}

async function* pieces(source: StockSource): AsyncGenerator<string> {
  if (typeof source === "string") {
    yield source;
    return;
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let line = 1;
  for await (const piece of source) {
    let words: string;
    try {
      words = typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
    } catch (error) {
      throw new StockFileError(line + linesBeforeFault(piece as Uint8Array), notText, { cause: error });
    }
    yield words;
    line += breaksIn(words);
  }
  try {
    yield decoder.decode();
  } catch (error) {
    throw new StockFileError(line, notText, { cause: error });
  }
}

const notText = "it is no UTF-8 text";

function breaksIn(words: string): number {
  return words.split("\n").length - 1;
}

/** Line breaks of a piece before the first byte that is no text; its first ones may end a character of the piece before. */
function linesBeforeFault(piece: Uint8Array): number {
  const first = piece.findIndex((byte) => byte >> 6 !== 0b10);
  const words = new TextDecoder().decode(piece.subarray(Math.max(first, 0)));
  return breaksIn(words.slice(0, words.indexOf("\uFFFD")));
}

async function* csvRows(source: StockSource, min: number): AsyncGenerator<Row> {
  const reader = new CsvReader((line, reason) => new StockFileError(line, reason));
  let columns: { sku: number; quantity: number; count: number } | undefined;
  const take = function* (rows: ReturnType<CsvReader["push"]>): Generator<Row> {
    for (const { line, fields } of rows) {
      if (columns === undefined) {
        const names = fields.map((name) => name.trim().toLowerCase());
        columns = { sku: names.indexOf("sku"), quantity: names.indexOf("quantity"), count: names.length };
        if (columns.sku < 0 || columns.quantity < 0 || new Set(names).size !== names.length) {
          throw new StockFileError(line, "the first row names the columns sku and quantity, each column once");
        }
        continue;
      }
      if (fields.length !== columns.count) {
        throw new StockFileError(line, `${columns.count} fields are wanted, got ${fields.length}`);
      }
      const digits = (fields[columns.quantity] as string).trim();
      yield rowOf(line, fields[columns.sku], /^\d+$/u.test(digits) ? Number(digits) : digits, min);
    }
  };
  for await (const piece of pieces(source)) yield* take(reader.push(piece));
  yield* take(reader.end());
}

async function* jsonRows(source: StockSource, min: number): AsyncGenerator<Row> {
  let rest = "";
  let line = 0;
  const take = function* (words: string): Generator<Row> {
    line += 1;
    if (words.trim() === "") return;
    let value: unknown;
    try {
      value = JSON.parse(line === 1 ? words.replace(/^\uFEFF/u, "") : words);
      optionsObject("the row", value);
    } catch (error) {
      throw new StockFileError(line, (error as Error).message, { cause: error });
    }
    const { sku, quantity } = value as Record<string, unknown>;
    yield rowOf(line, sku, quantity, min);
  };
  for await (const piece of pieces(source)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const words of lines) yield* take(words);
  }
  yield* take(rest);
}

/**
 * Brings a file into stock.
 * @throws TypeError, RangeError for bad options; StockFileError naming the line; and what `restock` or `seed` throws; OutcomeUnknownError also
 *   when Redis does not answer after rows were applied. Call again with the same `operationId` to go on
 */
export async function importStock(
  stock: Inventory,
  source: StockSource,
  options: ImportOptions,
): Promise<ImportResult> {
  optionsObject("options", options);
  const format = oneOf("format", options.format, ["csv", "jsonl"]);
  const mode = oneOf("mode", options.mode ?? "restock", ["restock", "count"]);
  const operationId = text("operationId", options.operationId, 200);
  const rowsMax = integerOr(500, "rowsMax", options.rowsMax, { min: 1, max: 1_000 });
  const { ifCursor, onProgress } = options;
  const dryRun = choice("dryRun", options.dryRun);
  if (mode === "count" && ifCursor === undefined)
    throw new TypeError("ifCursor must be given for a count, got undefined");
  const progress = { rows: 0, units: 0, applied: 0 };
  const counts = new Map<string, number>();
  let batch: Line[] = [];
  let batches = 0;
  const stopped = (error: unknown): never => {
    const { applied } = progress;
    const call = `importStock ${stock.name} ${operationId}`;
    // Whether it was the last step is known only when the file is read to its end; it is called again in either case.
    const ended = halfway(error, call, operationId);
    throw applied === 0
      ? ended
      : unfinished(ended, call, operationId, `${applied} rows are applied, the others are not`);
  };
  const flush = async (): Promise<void> => {
    if (batch.length > 0 && !dryRun) {
      await stock.restock({ operationId: `${operationId}/${batches}`, lines: batch }).catch(stopped);
      progress.applied += batch.length;
    }
    batches += 1;
    batch = [];
    onProgress?.({ ...progress });
  };
  const rows =
    format === "csv" ? csvRows(source, mode === "count" ? 0 : 1) : jsonRows(source, mode === "count" ? 0 : 1);
  for await (const { line, sku, quantity } of rows) {
    progress.rows += 1;
    progress.units += quantity;
    if (mode === "restock") {
      batch.push({ sku, quantity });
      if (batch.length === rowsMax) await flush();
    } else {
      if (counts.has(sku))
        throw new StockFileError(line, `a count has each sku once, ${JSON.stringify(sku)} came before`);
      counts.set(sku, quantity);
      if (counts.size % rowsMax === 0) onProgress?.({ ...progress });
    }
  }
  if (mode === "restock") {
    if (batch.length > 0) await flush();
  } else if (dryRun) {
    onProgress?.({ ...progress });
  } else {
    const snapshot = [...counts].map(([sku, onHand]) => ({ sku, onHand }));
    let seed: SeedResult = { kind: "seeded", cursor: ifCursor as Cursor };
    for (let from = 0; seed.kind === "seeded" && (from === 0 || from < snapshot.length); from += countMax) {
      const part = snapshot.slice(from, from + countMax);
      const step: SeedOptions = { ifCursor: seed.cursor, operationId: `${operationId}/${from / countMax}` };
      seed = await stock.seed(part, step).catch(stopped);
      if (seed.kind === "seeded") progress.applied += part.length;
      onProgress?.({ ...progress });
    }
    return { kind: seed.kind === "seeded" ? "imported" : "refused", ...progress, seed };
  }
  return { kind: dryRun ? "checked" : "imported", ...progress };
}

/** Options of an export. */
export interface ExportOptions {
  readonly format: StockFormat;
  readonly onProgress?: ((progress: { readonly rows: number }) => void) | undefined;
}

/** Skus of one look. */
const exportMax = 500;

/**
 * All skus with their levels, as pieces of text that end with a line break. Each row was true at one moment; a snapshot of all of them is
 * a ledger's matter.
 * @throws TypeError, and while reading what every call of Redis throws
 */
export async function* exportStock(stock: Inventory, options: ExportOptions): AsyncGenerator<string, void, undefined> {
  optionsObject("options", options);
  const format = oneOf("format", options.format, ["csv", "jsonl"]);
  let rows = 0;
  const rendered = async (skus: readonly string[]): Promise<string> => {
    let piece = "";
    for (const [sku, level] of await stock.levels(skus)) {
      const { onHand, reserved, available } = level;
      piece +=
        format === "csv"
          ? `${csvField(sku)},${onHand},${reserved},${available}\n`
          : `${JSON.stringify({ sku, quantity: onHand, reserved, available })}\n`;
    }
    rows += skus.length;
    options.onProgress?.({ rows });
    return piece;
  };
  if (format === "csv") yield "sku,quantity,reserved,available\n";
  let batch: string[] = [];
  for await (const sku of stock.skus()) {
    batch.push(sku);
    if (batch.length < exportMax) continue;
    yield await rendered(batch);
    batch = [];
  }
  if (batch.length > 0) yield await rendered(batch);
}
