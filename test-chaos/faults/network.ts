/** What happens between a pod and the servers: slow, deaf, mute, cut, and replies that never arrive. */
import { setTimeout as delay } from "node:timers/promises";
import type { FaultProxy } from "@holdfast/testkit";
import { onPod } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";

function sum(proxies: readonly FaultProxy[], count: keyof FaultProxy["counts"]): number {
  return proxies.reduce((total, proxy) => total + proxy.counts[count], 0);
}

/** Holds back what one direction carries, long enough for leases to end in half of the cases. */
function lossOf(name: string, direction: "up" | "down" | "both", words: string): Nemesis {
  return onPod(name, async (place, chance, hit) => {
    const forMs = chance.pick([chance.int(200, 500), chance.int(1_000, 1_800)]);
    const held = chance.pick(["deliver", "drop"] as const);
    const before = sum(place.network, "blackholed");
    const then = held === "deliver" ? "delivered" : "gone";
    await hit(`${words} of ${place.name} lost for ${forMs} ms, then ${then}`, async (strike) => {
      for (const proxy of place.network) proxy.blackhole(direction);
      await delay(forMs);
      await place.heal(held);
      strike.hit(sum(place.network, "blackholed") - before);
    });
  });
}

const latency = onPod("latency", async (place, chance, hit) => {
  const forMs = chance.int(400, 1_200);
  const upMs = chance.int(10, 120);
  const before = sum(place.network, "delayed");
  await hit(`${place.name} has ${upMs} ms of latency for ${forMs} ms`, async (strike) => {
    for (const proxy of place.network) proxy.latency({ upMs, downMs: upMs, jitterMs: upMs });
    await delay(forMs);
    await place.heal();
    strike.hit(sum(place.network, "delayed") - before);
  });
});

const reset = onPod("reset", async (place, chance, hit) => {
  await hit(`connections of ${place.name} reset`, async (strike) => {
    for (let times = chance.int(1, 3); times > 0; times -= 1) {
      for (const proxy of place.network) strike.hit(proxy.reset());
      await delay(chance.int(30, 150));
    }
  });
});

const refuse = onPod("refuse", async (place, chance, hit) => {
  const forMs = chance.int(200, 900);
  await hit(`${place.name} is cut off and refused for ${forMs} ms`, async (strike) => {
    for (const proxy of place.network) await proxy.refuse({ how: "reset" });
    for (const proxy of place.network) strike.hit(proxy.reset());
    await delay(forMs);
    await place.heal();
  });
});

/** Faults for single commands: scripts, which is what every mutating call of the primitives is. */
function aimedAt(
  name: string,
  words: string,
  aim: (proxy: FaultProxy, times: number) => { readonly hits: number; cancel(): void },
): Nemesis {
  return onPod(name, async (place, chance, hit) => {
    const times = chance.int(2, 6);
    const untilMs = performance.now() + 2_000;
    await hit(`${words} of ${place.name}, ${times} times`, async (strike) => {
      const rules = place.network.map((proxy) => aim(proxy, times));
      const hits = (): number => rules.reduce((total, rule) => total + rule.hits, 0);
      while (hits() < times && performance.now() < untilMs) await delay(10);
      for (const rule of rules) rule.cancel();
      strike.hit(hits());
    });
  });
}

/** Faults of the network. */
export const networkNemeses: readonly Nemesis[] = [
  latency,
  lossOf("lose-requests", "up", "requests"),
  lossOf("lose-replies", "down", "replies"),
  lossOf("partition", "both", "requests and replies"),
  reset,
  refuse,
  aimedAt("swallow-reply", "replies to scripts", (proxy, times) => proxy.swallowReply(/^evalsha/i, { times })),
  aimedAt("repeat-request", "scripts delivered twice", (proxy, times) =>
    proxy.repeat(/^evalsha/i, { times, keep: times % 2 === 0 ? "first" : "last" }),
  ),
];
