/**
 * Reads CSV as RFC 4180 has it, piece by piece: quoted fields, doubled quotes, line breaks in fields, CRLF or LF, a byte order mark. What
 * is not well-formed is an error with its line, never a guess.
 */

/** A row and the line on which it begins. */
export interface CsvRow {
  readonly line: number;
  readonly fields: readonly string[];
}

/** A parser that is fed with pieces of text. */
export class CsvReader {
  readonly #fail: (line: number, reason: string) => Error;
  #state: "start" | "plain" | "quoted" | "quote-in-quoted" = "start";
  #field = "";
  #fields: string[] = [];
  #line = 1;
  #rowLine = 1;
  #first = true;
  #afterReturn = false;

  /** @param fail makes the error that is thrown for a malformed row */
  constructor(fail: (line: number, reason: string) => Error) {
    this.#fail = fail;
  }

  /** The rows that are complete with this piece. */
  push(piece: string): CsvRow[] {
    const rows: CsvRow[] = [];
    let text = piece;
    if (this.#first && text !== "") {
      this.#first = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    for (const character of text) this.#take(character, rows);
    return rows;
  }

  /** The row that no line break ended. */
  end(): CsvRow[] {
    if (this.#state === "quoted") throw this.#fail(this.#rowLine, "a quoted field has no end");
    const rows: CsvRow[] = [];
    if (this.#afterReturn || this.#field !== "" || this.#fields.length > 0 || this.#state !== "start")
      this.#endRow(rows);
    return rows;
  }

  #take(character: string, rows: CsvRow[]): void {
    if (character === "\n") this.#line += 1;
    if (this.#state === "quoted") {
      if (character === '"') this.#state = "quote-in-quoted";
      else this.#field += character;
      return;
    }
    if (this.#afterReturn && character !== "\n") throw this.#fail(this.#line, "a carriage return without a line feed");
    switch (character) {
      case '"':
        if (this.#state === "plain") throw this.#fail(this.#line, "a quote inside a field that is not quoted");
        if (this.#state === "quote-in-quoted") this.#field += '"';
        this.#state = "quoted";
        return;
      case ",":
        this.#endField();
        return;
      case "\r":
        this.#afterReturn = true;
        return;
      case "\n":
        this.#endRow(rows);
        return;
      default:
        if (this.#state === "quote-in-quoted") throw this.#fail(this.#line, "text after the end of a quoted field");
        this.#state = "plain";
        this.#field += character;
    }
  }

  #endField(): void {
    this.#fields.push(this.#field);
    this.#field = "";
    this.#state = "start";
  }

  #endRow(rows: CsvRow[]): void {
    const blank = this.#fields.length === 0 && this.#field === "" && this.#state === "start";
    if (!blank) {
      this.#endField();
      rows.push({ line: this.#rowLine, fields: this.#fields });
    }
    this.#fields = [];
    this.#afterReturn = false;
    this.#rowLine = this.#line;
  }
}

/** One field, quoted where it has to be. */
export function csvField(text: string): string {
  return /[",\r\n]/u.test(text) || /^\s|\s$/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
