/** quorum-confirm.lua on a real server. */
import { expect, it } from "vitest";
import { NodeCalls, nodeKeys } from "./quorum-node-calls.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const node = new NodeCalls(real);

it("L8 remembers the token and tells its time", async () => {
  const [, proposed] = await node.propose("v1");
  const token = Number(proposed) + 1_000_000;
  const [tag, now] = await node.confirm("v1", token);
  expect([tag, await real.redis.get(nodeKeys.fence)]).toEqual(["confirmed", `1${token}`]);
  expect(Number(now)).toBeLessThan(token);
});

it("L8 refuses a token below one it has seen", async () => {
  const [, proposed] = await node.propose("v1");
  expect(await node.confirm("v1", Number(proposed) - 1)).toEqual(["higher", proposed]);
  expect(await real.redis.get(nodeKeys.fence)).toBe(`1${proposed}`);
});

it("L8 refuses a value that does not hold its lock", async () => {
  const [, proposed] = await node.propose("v1");
  expect(await node.confirm("v2", Number(proposed) + 5)).toEqual(["lost"]);
  await node.release("v1");
  expect(await node.confirm("v1", Number(proposed) + 5)).toEqual(["lost"]);
  expect(await real.redis.get(nodeKeys.fence)).toBe(`1${proposed}`);
});

it("K1 does nothing after its bound, and refuses a newer format", async () => {
  const [, proposed] = await node.propose("v1");
  expect((await node.confirm("v1", Number(proposed) + 5, { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await real.redis.get(nodeKeys.fence)).toBe(`1${proposed}`);
  await real.redis.set(nodeKeys.fence, "2x", "PX", 10_000);
  expect((await node.confirm("v1", Number(proposed) + 5))[0]).toBe("newer-format");
});
