/**
 * Quorum locks: three independent servers of their own, of which one at a time hangs, forgets, falls out or loses what it is sent or says,
 * and whose clocks differ. That is what a quorum bears, so it goes on when everything else has healed. Worst is when troubles follow one
 * another: a node that has missed the last grant, one that has forgotten it, and the one that remembers is away.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ClockSkew, FaultProxy, RedisServer } from "@holdfast/testkit";
import type { SeededRandom } from "@holdfast/testkit";
import type { Hold } from "@holdfast/lock";
import { QuorumLock } from "@holdfast/lock/redlock";
import { Redis } from "ioredis";
import { holdMaxMs } from "../checkers/lock.ts";
import { checkQuorum } from "../checkers/quorum.ts";
import type { Values } from "../history/event.ts";
import { readLogs, waitMs, workUnder } from "./lock.ts";
import { pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const locks = ["quorum-a", "quorum-b"];
const ttlMs = 1_200;
const nodeTimeoutMs = 250;
/** Of so many holds of one name in a pod, one hangs. */
const hangsEvery = 8;
/** How far each node's clock is ahead, in milliseconds, where this machine can make them differ. */
const skewsMs = [0, 350, -100] as const;
const scripts = /^eval(sha)? /i;

interface Node {
  readonly server: RedisServer;
  readonly proxy: FaultProxy;
}

/** One thing that goes wrong with a node, and is over when this resolves; what follows goes wrong with the other two. */
type Trouble = (nodes: readonly [Node, Node, Node], chance: SeededRandom) => Promise<void>;

async function fallOut({ proxy }: Node, ms: number): Promise<void> {
  await proxy.refuse();
  proxy.reset();
  await delay(ms);
  await proxy.accept();
}

const troubles: Readonly<Record<string, Trouble>> = {
  hangs: async ([{ server }], chance) => {
    server.pause();
    await delay(chance.int(300, 1_500));
    server.resume();
  },
  forgets: async ([{ server }]) => void (await server.call("FLUSHALL")),
  "falls out": async ([node], chance) => fallOut(node, chance.int(300, 1_500)),
  "misses a grant that the next forgets": async ([node, next, last], chance) => {
    await fallOut(node, chance.int(400, 900));
    await next.server.call("FLUSHALL");
    await fallOut(last, chance.int(300, 500));
  },
  "is not heard": async ([{ proxy }], chance) => {
    proxy.blackhole("down");
    await delay(chance.int(300, 1_000));
    await proxy.heal({ held: "drop" });
  },
  "hears late": async ([{ proxy }], chance) => {
    proxy.blackhole("up");
    await delay(chance.int(300, 1_000));
    await proxy.heal({ held: "deliver" });
  },
  "hears twice": async ([{ proxy }], chance) => {
    const rules = Array.from({ length: 3 }, () => proxy.repeat(scripts, { keep: "last" }));
    await delay(chance.int(200, 600));
    for (const rule of rules) rule.cancel();
  },
};

async function startNode(bench: Bench, aheadMs: number): Promise<Node> {
  const skew = (await ClockSkew.available()) ? await ClockSkew.create() : undefined;
  if (skew !== undefined) bench.own(skew);
  const server = await RedisServer.start(skew === undefined ? {} : { env: skew.env });
  bench.own(server);
  const proxy = await FaultProxy.start(server, { random: bench.random });
  bench.own({ [Symbol.asyncDispose]: () => proxy.close() });
  await skew?.set(aheadMs);
  return { server, proxy };
}

/** One node at a time, until the round is over. */
async function trouble(bench: Bench, nodes: readonly [Node, Node, Node], over: AbortSignal): Promise<void> {
  const { random } = bench;
  while (!over.aborted) {
    for (const what of random.shuffle(Object.keys(troubles))) {
      await pace(random.int(100, 600), over);
      if (over.aborted) return;
      const [one, two, three] = nodes;
      const turned = random.pick([nodes, [two, three, one], [three, one, two]] as const);
      bench.note("trouble", `node-${nodes.indexOf(turned[0])}`, { what });
      await troubles[what]?.(turned, random);
    }
  }
}

async function prepare(bench: Bench): Promise<Values> {
  const [first, second, third] = skewsMs;
  const nodes = [await startNode(bench, first), await startNode(bench, second), await startNode(bench, third)] as const;
  const over = new AbortController();
  const troubling = trouble(bench, nodes, over.signal);
  bench.own({
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await troubling;
    },
  });
  return { nodes: nodes.map(({ proxy }) => proxy.url).join(" ") };
}

async function work(place: Workplace): Promise<void> {
  const clients = String(place.given["nodes"])
    .split(" ")
    .map((url) => new Redis(url, { retryStrategy: () => 50 }));
  for (const client of clients) client.on("error", () => undefined);
  const { prefix } = place;
  const lock = new QuorumLock(clients, { prefix, ttlMs, holdMaxMs, nodeTimeoutMs, retryEveryMs: 40 });
  await Promise.all(
    locks.map(async (name) => {
      const take = (): Promise<Hold> => lock.acquire(name, { waitMs, signal: place.quiet });
      for (let turn = 1; !place.quiet.aborted; turn += 1) {
        await workUnder(place, take, name, turn % hangsEvery === 0);
        await pace(place.random.int(20, 200), place.quiet);
      }
    }),
  );
  await lock.close();
  for (const client of clients) client.disconnect();
}

/** The scenario of `@holdfast/lock/redlock`; its servers are its own, so one topology of the others is as good as another. */
export const scenario: Scenario = {
  name: "quorum",
  topologies: ["single"],
  prepare,
  work,
  inspect: (bench) => readLogs(bench, locks),
  check: checkQuorum,
};
