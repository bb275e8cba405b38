/** quorum-inspect.lua on a real server. */
import { expect, it } from "vitest";
import { NodeCalls, nodeKeys } from "./quorum-node-calls.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const node = new NodeCalls(real);

it("tells the holder, whoever wrote it", async () => {
  expect(await node.inspect()).toEqual(["free"]);
  const [, token] = await node.propose("v1");
  const [tag, value, , seen] = await node.inspect();
  expect([tag, value, seen]).toEqual(["held", "v1", token]);
  await real.redis.del(nodeKeys.fence);
  expect((await node.inspect())[3]).toBe("0");
});
