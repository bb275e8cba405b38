import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { History } from "../src/index.ts";
import { startScript } from "./script.ts";

type Event = { kind: "invoke"; op: string } | { kind: "ok"; op: string; value: number };

describe("History", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "history-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it("keeps entries with a growing time, the process and their place, and reads back what it wrote", async () => {
    const history = new History<Event>({ process: "a" });
    history.record({ kind: "invoke", op: "x" });
    history.record({ kind: "ok", op: "x", value: 1 });
    const [first, second] = history.entries;
    expect(first).toMatchObject({ kind: "invoke", op: "x", process: "a", index: 0 });
    expect(second?.atMs).toBeGreaterThanOrEqual(first?.atMs ?? Number.NaN);
    const path = join(directory, "written");
    await history.write(path);
    expect(await History.read<Event>(path)).toEqual(history.entries);
  });

  it("survives a process that is killed right after an entry, and merges processes by time", async () => {
    const path = join(directory, "killed");
    using before = new History<Event>({ process: "before", path: join(directory, "before") });
    before.record({ kind: "invoke", op: "early" });
    const script = await startScript(`
      import { History } from "@holdfast/testkit";
      const history = new History({ path: ${JSON.stringify(path)} });
      history.record({ kind: "invoke", op: "y" });
      process.kill(process.pid, "SIGKILL");
    `);
    await new Promise((resolve) => {
      script.child.once("exit", resolve);
    });
    before.record({ kind: "invoke", op: "late" });
    const merged = await History.read<Event>(path, join(directory, "before"));
    expect(merged.map((entry) => entry.op)).toEqual(["early", "y", "late"]);
  });

  it("leaves out a last line that was cut off, and nothing else", async () => {
    const path = join(directory, "torn");
    const history = new History<Event>({ path });
    history.record({ kind: "invoke", op: "whole" });
    history.close();
    history.record({ kind: "invoke", op: "memory only" });
    await appendFile(path, '{"kind":"invo');
    expect((await History.read<Event>(path)).map((entry) => entry.op)).toEqual(["whole"]);
    await writeFile(path, "{torn\n{}\n");
    await expect(History.read(path)).rejects.toThrow(SyntaxError);
  });
});
