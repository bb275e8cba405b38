/** quorum-extend.lua on a real server. */
import { expect, it } from "vitest";
import { NodeCalls } from "./quorum-node-calls.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const node = new NodeCalls(real);

it("L2 counts the holder's lease anew, and nobody else's", async () => {
  await node.propose("v1");
  expect(await node.extend("v2")).toEqual(["lost"]);
  expect(await real.redis.pttl("user:a")).toBeLessThan(11_000);
  expect(await node.extend("v1")).toEqual(["extended"]);
  expect(await real.redis.pttl("user:a")).toBeGreaterThan(19_000);
  expect((await node.extend("v1", { notAfterUs: 1, ttlMs: 60_000 }))[0]).toBe("too-late");
  expect(await real.redis.pttl("user:a")).toBeLessThan(21_000);
});
