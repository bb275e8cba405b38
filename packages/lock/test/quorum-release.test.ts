/** quorum-release.lua on a real server. */
import { expect, it } from "vitest";
import { NodeCalls, nodeKeys } from "./quorum-node-calls.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const node = new NodeCalls(real);

it("L5 frees what is the value's, and nothing else", async () => {
  await node.propose("v1");
  expect(await node.release("v2")).toEqual(["lost"]);
  expect((await node.release("v1", { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await real.redis.get("user:a")).toBe("v1");
  expect(await node.release("v1")).toEqual(["released"]);
  expect(await real.redis.exists("user:a")).toBe(0);
  expect(await node.release("v1")).toEqual(["lost"]);
});

it("leaves a seal with an end, and none when nothing can arrive", async () => {
  await node.release("v1");
  expect(await real.redis.exists(nodeKeys.gone("v1"))).toBe(0);
  await node.release("v1", { sealMs: 500 });
  expect(await real.redis.pttl(nodeKeys.gone("v1"))).toBeGreaterThan(0);
});
