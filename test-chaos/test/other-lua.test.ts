/** K6: every script of the packages runs in Lua 5.4 as it does in 5.1, whose numbers are all of one kind. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canStepClocks } from "../faults/deck.ts";
import { writeOtherLuaServer } from "../other-lua/index.ts";
import { casts } from "../schedules/casts.ts";
import { explore } from "../schedules/explore.ts";
import type { Theatre } from "../schedules/play.ts";
import { openTheatre } from "../schedules/theatre.ts";

const seed = 20_261_129;

describe.runIf(await canStepClocks())("on a server with Lua 5.4", { timeout: 240_000 }, () => {
  let directory: string;
  let theatre: Theatre & AsyncDisposable;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "holdfast-lua-"));
    theatre = await openTheatre(await writeOtherLuaServer(directory));
  });
  afterAll(async () => {
    await theatre[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  it.each(casts.map((cast) => ({ name: cast.name, cast })))(
    "K6 $name: every rule holds in every schedule",
    async ({ cast }) => {
      const { broken, calls } = await explore(cast, theatre, { runs: 6, seed, stepsMax: 30, shrinkMs: 0 });
      expect(broken).toBeUndefined();
      expect(calls).toBeGreaterThan(5);
    },
  );
});
