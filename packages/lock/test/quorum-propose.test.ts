/** quorum-propose.lua on a real server. */
import { expect, it } from "vitest";
import { NodeCalls, nodeKeys } from "./quorum-node-calls.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const node = new NodeCalls(real);

it("takes redlock's key as redlock does, and proposes at least its clock", async () => {
  const beforeUs = await real.nowUs();
  const [tag, token] = await node.propose("v1");
  expect(tag).toBe("granted");
  expect(Number(token)).toBeGreaterThanOrEqual(beforeUs);
  expect(await real.redis.get("user:a")).toBe("v1");
  expect(await real.redis.pttl("user:a")).toBeGreaterThan(9_000);
  expect(await real.redis.pttl(nodeKeys.fence)).toBeGreaterThan(59_000);
});

it("L3 gives a repeat the same token, L2 refuses another value", async () => {
  const first = await node.propose("v1");
  expect(await node.propose("v1")).toEqual(first);
  expect(await node.propose("v2")).toEqual(["held"]);
});

it("L8 goes above what it has seen, however far ahead of its clock that is", async () => {
  const ahead = (await real.nowUs()) + 60_000_000;
  await real.redis.set(nodeKeys.fence, `1${ahead}`, "PX", 60_000);
  expect(await node.propose("v1")).toEqual(["granted", String(ahead + 1)]);
  expect(await real.redis.pttl(nodeKeys.fence)).toBeGreaterThan(119_000);
});

it("L8 proposes anew when it holds the lock and has forgotten the token", async () => {
  await real.redis.set("user:a", "v1", "PX", 10_000);
  const [tag, token] = await node.propose("v1");
  expect([tag, await real.redis.get(nodeKeys.fence)]).toEqual(["granted", `1${token}`]);
});

it("L3 takes nothing for a value that has given up", async () => {
  await node.release("v1", { sealMs: 1_000 });
  expect(await node.propose("v1")).toEqual(["held"]);
  expect((await node.propose("v2"))[0]).toBe("granted");
});

it("K1 does nothing after its bound, and refuses a newer format", async () => {
  expect((await node.propose("v1", { notAfterUs: 1 }))[0]).toBe("too-late");
  expect(await real.redis.exists("user:a", nodeKeys.fence)).toBe(0);
  await real.redis.set(nodeKeys.fence, "2x", "PX", 10_000);
  expect((await node.propose("v1"))[0]).toBe("newer-format");
});
