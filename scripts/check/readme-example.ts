/**
 * Owns the examples of the READMEs: a fenced block `ts run` is a program, a block `text output` right after it is what it prints. In the
 * expected text `…` stands for anything within its line.
 */

/** A program in a README. */
export interface ReadmeExample {
  /** The README's path. */
  readonly file: string;
  /** The line of the opening fence. */
  readonly line: number;
  readonly code: string;
  /** What it prints, or null when only its success counts. */
  readonly expected: string | null;
}

interface Block {
  readonly info: string;
  readonly line: number;
  readonly text: string;
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: { info: string; line: number; fence: string; lines: string[] } | null = null;
  for (const [index, line] of markdown.split("\n").entries()) {
    const fence = /^(`{3,})(.*)$/.exec(line);
    if (open === null) {
      if (fence !== null) open = { info: (fence[2] ?? "").trim(), line: index + 1, fence: fence[1] ?? "", lines: [] };
    } else if (line.trimEnd() === open.fence) {
      blocks.push({ info: open.info, line: open.line, text: open.lines.join("\n") });
      open = null;
    } else {
      open.lines.push(line);
    }
  }
  return blocks;
}

/** The programs of a README, in order. */
export function readmeExamples(markdown: string, file: string): ReadmeExample[] {
  const blocks = blocksOf(markdown);
  return blocks.flatMap((block, index) => {
    if (block.info !== "ts run") return [];
    const next = blocks[index + 1];
    const expected = next?.info === "text output" ? next.text : null;
    return [{ file, line: block.line, code: `${block.text}\n`, expected }];
  });
}

/** Whether what a program printed is what its README says. */
export function matchesOutput(expected: string, printed: string): boolean {
  const tidy = (text: string): string[] =>
    text
      .trim()
      .split("\n")
      .map((line) => line.trimEnd());
  const want = tidy(expected);
  const got = tidy(printed);
  return want.length === got.length && want.every((line, index) => lineMatches(line, got[index] ?? ""));
}

function lineMatches(expected: string, printed: string): boolean {
  const parts = expected.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(printed);
}
