import { cellsOf, rehearse } from "@holdfast-examples/stage";
import { describe, expect, it } from "vitest";
import { redelivery } from "../src/index.ts";

describe("the scenario", () => {
  it("charges customers twice when their messages come again, and once with a key", async () => {
    const report = await rehearse(redelivery);
    expect(report.problems).toEqual([]);
    const row = (label: string): string[] => cellsOf(report, label).map(({ text }) => text);
    const some = expect.stringMatching(/^[1-9]/);
    expect(row("messages delivered again")).toEqual([some, some]);
    expect(row("repetitions that the provider recognised")).toEqual(["0", some]);
    expect(row("customers charged twice")).toEqual([some, "0"]);
    expect(row("customers not charged")).toEqual(["0", "0"]);
    expect(row("orders without a receipt")).toEqual(["0", "0"]);
  });

  it("stops everything when the signal aborts in the middle", async () => {
    const stop = new AbortController();
    const running = rehearse(redelivery, {
      signal: stop.signal,
      say: (line) => {
        if (line.includes("SIGKILL")) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
  });
});
