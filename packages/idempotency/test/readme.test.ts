/** What the README says of other files is what they say. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { problemResponse } from "../src/http/index.ts";
import type { ProblemCode } from "../src/http/index.ts";

const text = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8");

describe("the README", () => {
  it("shows the Kafka recipe that compiles", async () => {
    const source = await text("consumer/kafka.ts");
    const recipe = source.slice(source.indexOf("// recipe\n") + 10, source.indexOf("  // end"));
    const lines = recipe.split("\n").map((line) => line.replace(/^ {2}/, ""));
    expect(await text("../README.md")).toContain(`\`\`\`ts\n${lines.join("\n").trimEnd()}\n\`\`\``);
  });

  it("has a section for every problem, with its status", async () => {
    const readme = await text("../README.md");
    const codes = [...(await text("../src/http/problem.ts")).matchAll(/^ {2}\| "([a-z-]+)"/gm)].map(
      (match) => match[1] as ProblemCode,
    );
    expect(codes.length).toBeGreaterThanOrEqual(10);
    for (const code of codes) {
      expect(readme).toContain(`\n### ${code}\n\n${problemResponse("https://x", code, "").status}. `);
    }
  });
});
