/** Stock from files and into files, with everything that is wrong with files. */
import { describe, expect, it } from "vitest";
import { exportStock, importStock, startCursor } from "../src/index.ts";
import { failure } from "./clients.ts";
import { usePlace } from "./places.ts";

describe("stock files", () => {
  const place = usePlace("one server");

  it("a delivery arrives as CSV, with quotes, a byte order mark, CRLF and other columns, piece by piece", async () => {
    const stock = place.inventory();
    const text = '\uFEFFsku,name,Quantity\r\nmug,"a ""big"" mug, blue",2\r\n"cup\nsmall",,3\r\n\r\nspoon,x,4';
    const bytes = Buffer.from(text);
    const pieces = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
    const seen: number[] = [];
    const result = await importStock(stock, pieces, {
      format: "csv",
      operationId: "delivery",
      rowsMax: 2,
      onProgress: ({ applied }) => seen.push(applied),
    });
    expect(result).toEqual({ kind: "imported", rows: 3, units: 9, applied: 3 });
    expect(seen).toEqual([2, 3]);
    expect([...(await stock.levels(["mug", "cup\nsmall", "spoon"])).values()].map(({ onHand }) => onHand)).toEqual([
      2, 3, 4,
    ]);
  });

  it("V2 the same file under the same operation id is not applied twice, also when the first try stopped halfway", async () => {
    const stock = place.inventory();
    const rows = ["mug", "cup", "spoon", "fork"].map((sku) => JSON.stringify({ sku, quantity: 5 }));
    const broken = [...rows.slice(0, 3), '{"sku":"fork","quantity":-5}'].join("\n");
    const options = { format: "jsonl", operationId: "delivery", rowsMax: 2 } as const;
    expect(await failure(importStock(stock, broken, options))).toMatchObject({ name: "StockFileError", line: 4 });
    expect((await stock.level("mug")).onHand).toBe(5);
    expect((await stock.level("spoon")).onHand).toBe(0);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await importStock(stock, rows.join("\n"), options)).toMatchObject({ kind: "imported", rows: 4 });
    }
    for (const { onHand } of (await stock.levels(["mug", "cup", "spoon", "fork"])).values()) expect(onHand).toBe(5);
  });

  it.each(["restock", "count"] as const)(
    "a dry run of a %s reads and checks everything, tells how far it is, and writes nothing at all",
    async (mode) => {
      const stock = place.inventory();
      const seen: object[] = [];
      const result = await importStock(stock, "sku,quantity\nmug,5\ncup,1\nspoon,2\n", {
        format: "csv",
        operationId: "delivery",
        mode,
        ifCursor: startCursor,
        dryRun: true,
        rowsMax: 2,
        onProgress: (progress) => seen.push(progress),
      });
      expect(result).toEqual({ kind: "checked", rows: 3, units: 8, applied: 0 });
      expect(seen).toEqual([
        { rows: 2, units: 6, applied: 0 },
        { rows: 3, units: 8, applied: 0 },
      ]);
      for (const key of ["stock", "recordsA", "recordsB", "due", "log", "transit"] as const) {
        expect([key, await place.raw("EXISTS", stock, key)]).toEqual([key, 0]);
      }
    },
  );

  it("progress is told batch by batch while a file is read, of an import and of an export", async () => {
    const stock = place.inventory();
    const seen: object[] = [];
    const read: number[] = [];
    const rows = function* (): Generator<string> {
      yield "sku,quantity\n";
      for (let row = 1; row <= 5; row += 1) {
        read.push(row);
        yield `sku-${row},${row}\n`;
      }
    };
    await importStock(stock, rows(), {
      format: "csv",
      operationId: "delivery",
      rowsMax: 2,
      onProgress: (progress) => seen.push({ ...progress, read: read.length }),
    });
    expect(seen).toEqual([
      { rows: 2, units: 3, applied: 2, read: 2 },
      { rows: 4, units: 10, applied: 4, read: 4 },
      { rows: 5, units: 15, applied: 5, read: 5 },
    ]);
    const exported: object[] = [];
    const options = { format: "jsonl", onProgress: (progress: object) => exported.push(progress) } as const;
    const pieces: string[] = [];
    for await (const piece of exportStock(stock, options)) pieces.push(piece);
    expect(exported).toEqual([{ rows: 5 }]);
    expect(pieces.join("").split("\n")).toHaveLength(6);
  });

  it("V6 a count sets what is on hand, unless something moved since it was taken", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [{ sku: "mug", quantity: 5 }] });
    const ifCursor = await stock.cursor();
    const count = "sku,quantity\nmug,4\ncup,0\n";
    const options = { format: "csv", operationId: "count", mode: "count", ifCursor } as const;
    expect(await importStock(stock, count, { ...options, dryRun: true })).toMatchObject({ kind: "checked", rows: 2 });
    expect(await importStock(stock, count, options)).toMatchObject({ kind: "imported", applied: 2 });
    expect((await stock.level("mug")).onHand).toBe(4);
    await stock.decrement({ operationId: "sold", lines: [{ sku: "mug", quantity: 1 }] });
    const late = await importStock(stock, count, { ...options, operationId: "late" });
    expect(late).toMatchObject({ kind: "refused", applied: 0, seed: { kind: "moved" } });
    expect((await stock.level("mug")).onHand).toBe(3);
    const twice = importStock(stock, "sku,quantity\nmug,1\nmug,1\n", { ...options, dryRun: true });
    expect(await failure(twice)).toMatchObject({ name: "StockFileError", line: 3 });
    const without = importStock(stock, count, { format: "csv", operationId: "x", mode: "count" });
    expect((await failure(without)).name).toBe("TypeError");
  });

  it("V6 a count of many rows says how many were set before it was refused, and its repeat overwrites no sale", async () => {
    const stock = place.inventory();
    const skus = Array.from({ length: 1_500 }, (_, index) => `sku-${index}`);
    const count = (quantity: number): string => skus.map((sku) => JSON.stringify({ sku, quantity })).join("\n");
    const options = { format: "jsonl", mode: "count" } as const;
    const first = await importStock(stock, count(5), { ...options, operationId: "first", ifCursor: startCursor });
    expect(first).toMatchObject({ kind: "imported", rows: 1_500, applied: 1_500 });
    await stock.reserve({ reservationId: "cart", lines: [{ sku: "sku-1400", quantity: 5 }] });
    const seen: number[] = [];
    const again = {
      ...options,
      operationId: "again",
      ifCursor: await stock.cursor(),
      onProgress: ({ applied }: { applied: number }) => seen.push(applied),
    };
    expect(await importStock(stock, count(4), again)).toMatchObject({
      kind: "refused",
      applied: 1_000,
      seed: { kind: "below-reserved", sku: "sku-1400", reserved: 5 },
    });
    expect(seen).toEqual([0, 0, 0, 1_000, 1_000]);
    await stock.confirm({ reservationId: "cart" });
    expect(await importStock(stock, count(4), again)).toMatchObject({
      kind: "refused",
      applied: 1_000,
      seed: { kind: "moved" },
    });
    expect((await stock.level("sku-0")).onHand).toBe(4);
    expect((await stock.level("sku-1400")).onHand).toBe(0);
  });

  it("V7 a row that is no stock is refused with its line", async () => {
    const stock = place.inventory();
    const cases: readonly (readonly [string, number])[] = [
      ["", 0],
      ["sku\nmug", 1],
      ["sku,quantity,sku\nmug,1,mug", 1],
      ["sku,quantity\nmug", 2],
      ["sku,quantity\nmug,1.5", 2],
      ["sku,quantity\nmug,0", 2],
      ["sku,quantity\nmug,-1", 2],
      ["sku,quantity\nmug,1e3", 2],
      ["sku,quantity\nmug,9007199254740993", 2],
      ["sku,quantity\n,1", 2],
      ['sku,quantity\nmug,1\n"cup,1', 3],
      ['sku,quantity\nmug,1\ncu"p,1', 3],
      ['sku,quantity\nmug,1\n"cup"s,1', 3],
      ["sku,quantity\nmug,1\rcup,1", 2],
    ];
    for (const [text, line] of cases.slice(1)) {
      const error = await failure(importStock(stock, text, { format: "csv", operationId: "x", dryRun: true }));
      expect({ text, name: error.name, line: (error as Error & { line: number }).line }).toEqual({
        text,
        name: "StockFileError",
        line,
      });
    }
    for (const text of ["[]", "{", "null", '{"sku":"mug"}', '{"sku":"mug","quantity":"1"}', '{"sku":1,"quantity":1}']) {
      const error = await failure(importStock(stock, text, { format: "jsonl", operationId: "x", dryRun: true }));
      expect({ text, name: error.name }).toEqual({ text, name: "StockFileError" });
    }
    expect(await importStock(stock, "", { format: "csv", operationId: "empty" })).toMatchObject({
      kind: "imported",
      rows: 0,
    });
  });

  it("what is exported can be imported, in both formats, with skus that need quoting", async () => {
    const stock = place.inventory();
    const skus = [
      'a "mug"',
      "b,c",
      " d ",
      "e\nf",
      "%41",
      "r#x",
      "#form",
      "ü",
      ...Array.from({ length: 1_200 }, (_, index) => `sku-${index}`),
    ];
    for (let from = 0; from < skus.length; from += 900) {
      const lines = skus.slice(from, from + 900).map((sku) => ({ sku, quantity: 7 }));
      await stock.restock({ operationId: `delivery-${from}`, lines });
    }
    for (const format of ["csv", "jsonl"] as const) {
      const copy = place.inventory();
      const rows: number[] = [];
      const pieces = exportStock(stock, { format, onProgress: (progress) => rows.push(progress.rows) });
      const result = await importStock(copy, pieces, { format, operationId: "copy" });
      expect(result).toMatchObject({ rows: skus.length, units: skus.length * 7 });
      expect(rows.at(-1)).toBe(skus.length);
      const levels = await copy.levels(skus);
      expect(new Set([...levels.values()].map(({ onHand }) => onHand))).toEqual(new Set([7]));
      expect(levels.size).toBe(skus.length);
    }
  });

  it("what is exported with skus that are sold out is imported as a count, as the README says", async () => {
    const stock = place.inventory();
    const lines = [
      { sku: "mug", quantity: 5 },
      { sku: "cup", quantity: 2 },
    ];
    await stock.restock({ operationId: "delivery", lines });
    await stock.decrement({ operationId: "sold", lines: [{ sku: "cup", quantity: 2 }] });
    for (const format of ["csv", "jsonl"] as const) {
      const copy = place.inventory({ buckets: { mug: 3 } });
      const options = { format, operationId: "copy", mode: "count", ifCursor: startCursor } as const;
      const copied = await importStock(copy, exportStock(stock, { format }), options);
      expect(copied).toMatchObject({ kind: "imported", rows: 2, units: 5, applied: 2 });
      const skus: string[] = [];
      for await (const sku of copy.skus()) skus.push(sku);
      expect(skus.toSorted()).toEqual(["cup", "mug"]);
      expect((await copy.level("mug")).onHand).toBe(5);
    }
  });

  it("bytes that are no text are refused with their line, however the file comes in pieces", async () => {
    const stock = place.inventory();
    const bytes = Buffer.concat([Buffer.from("sku,quantity\nmüg,1\ncup"), Buffer.from([0xff]), Buffer.from(",1\n")]);
    const cut = Buffer.from("sku,quantity\nmug,1\nmü");
    const sources = [bytes, cut.subarray(0, -1)].flatMap((file) => [
      [file],
      Array.from(file, (_, index) => file.subarray(index, index + 1)),
    ]);
    for (const source of sources) {
      const error = await failure(importStock(stock, source, { format: "csv", operationId: "x" }));
      expect(error).toMatchObject({ name: "StockFileError", line: 3 });
    }
  });
});
