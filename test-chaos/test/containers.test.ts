/** Layer 3: the same pods and Redis in containers, wherever a Docker engine answers. Where none does, one skipped test says so. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findEngine } from "../containers/engine.ts";
import { buildImage } from "../containers/image.ts";
import { playInContainers } from "../containers/round.ts";
import { containedNames, moduleOf } from "../scenarios/catalog.ts";

const engine = await findEngine();
const seed = process.env["HOLDFAST_SEED"] ?? "20261122";

describe.runIf(engine !== null)("pods and Redis in containers (needs a Docker engine)", { timeout: 900_000 }, () => {
  it("keep every rule under kill, pause, disconnect and restart, and each of them hits work in flight", async () => {
    if (engine === null) throw new Error("there is no engine");
    const context = await mkdtemp(join(tmpdir(), "holdfast-image-"));
    try {
      const image = await buildImage(context);
      const folder = join(import.meta.dirname, "../../.reports/chaos/test-containers");
      const modules = containedNames.map(moduleOf);
      const { verdicts, struck } = await playInContainers(engine, image, { seed, modules, folder });
      expect(verdicts.filter(({ held }) => !held)).toEqual([]);
      for (const [fault, times] of Object.entries(struck))
        expect({ fault, struck: times > 0 }).toEqual({ fault, struck: true });
    } finally {
      await rm(context, { recursive: true, force: true });
    }
  });
});
