import { Pod, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const PROGRAM = new URL("rigged-demo.ts", import.meta.url);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.stop());

describe("the exit status of the demo", () => {
  it.each([
    ["0 when Holdfast held in every scenario", ["holds"], 0, /holds +│.*✓ held/],
    ["1 when it did not in one of them", ["holds", "stuck"], 1, /stuck +│.*✗ failed/],
    ["1 when one of them could not be shown, after the others", ["broken", "holds"], 1, /no replica became ready/],
  ] as const)("is %s", async (_what, only, code, printed) => {
    const args = only.flatMap((name) => ["--only", name]);
    await using pod = await Pod.start(PROGRAM, { args, env: { REDIS_URL: redis.url, NO_COLOR: "1" } });
    expect(await pod.exited).toMatchObject({ code });
    expect(pod.output).toMatch(printed);
    // Whatever became of one, each is in the table at the end.
    for (const name of only) expect(pod.output).toMatch(new RegExp(`│ ${name} +│`));
  });
});
