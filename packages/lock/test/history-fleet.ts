/**
 * One run of the history suite: three processes take locks and write under them, each behind a proxy of its own, while each in turn is
 * paused, killed and started again, and loses replies and connections. The seed decides who does what, and which fault follows which.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, History, Pod, pollUntil, random } from "@holdfast/testkit";
import type { RedisServer, SeededRandom } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import type { FencedLock } from "../src/index.ts";
import type { RunHistory } from "./history-check.ts";
import type { HistoryEvent } from "./history-event.ts";

/** What was done to the processes, and what of it met something. */
export interface Faults {
  pauses: number;
  kills: number;
  lostReplies: number;
  /** Pieces of a conversation that met a blackhole. */
  blackholed: number;
  /** Connections that were cut. */
  reset: number;
}

/** A run that is over. */
export interface Run extends RunHistory {
  readonly seed: string;
  readonly faults: Faults;
  /** Locks that somebody held or waited for when every process had ended and every lease had passed. */
  readonly left: readonly string[];
}

/** What a run works with. */
export interface RunSettings {
  readonly seed: string;
  /** First part of its locks' names. */
  readonly prefix: string;
  readonly locks: number;
  readonly folder: string;
  readonly server: RedisServer;
  readonly redis: Redis;
  /** For looking at the locks afterwards. */
  readonly lock: FencedLock;
}

const places = 3;
/** How much happens in a run at least. */
const incrementsPerLock = 24;
/** What happens at each place, in an order that the seed decides. */
const troubles = ["pause", "pause", "kill", "lost-replies", "lost-replies", "blackhole", "reset"] as const;

/** One place where a process runs, is paused, killed and started again. */
class Place {
  readonly files: string[] = [];
  readonly #settings: RunSettings;
  readonly #number: number;
  readonly #proxy: FaultProxy;
  #pod: Pod | undefined;

  constructor(settings: RunSettings, number: number, proxy: FaultProxy) {
    this.#settings = settings;
    this.#number = number;
    this.#proxy = proxy;
  }

  async start(): Promise<void> {
    const { seed, prefix, locks, folder } = this.#settings;
    const life = `${this.#number}-${this.files.length}`;
    const file = join(folder, `${prefix}${life}.jsonl`);
    this.files.push(file);
    const args = [this.#proxy.url, file, `${seed}/${life}`, prefix, String(locks)];
    this.#pod = await Pod.start(new URL("./history.pod.ts", import.meta.url), { args });
    await this.#pod.ready();
  }

  /** Does one thing to the process or to its connection. */
  async trouble(kind: (typeof troubles)[number], chance: SeededRandom, faults: Faults): Promise<void> {
    switch (kind) {
      case "pause":
        this.#pod?.pause();
        await delay(chance.int(350, 900));
        this.#pod?.resume();
        faults.pauses += 1;
        break;
      case "kill":
        await this.#pod?.kill();
        faults.kills += 1;
        await this.start();
        break;
      case "lost-replies": {
        const rule = this.#proxy.swallowReply(/^evalsha/i, { times: chance.int(1, 3) });
        await rule.hit;
        await delay(chance.int(100, 400));
        faults.lostReplies += rule.hits;
        rule.cancel();
        break;
      }
      case "blackhole":
        this.#proxy.blackhole(chance.pick(["up", "down", "both"]));
        await delay(chance.int(100, 800));
        await this.#proxy.heal({ held: chance.pick(["deliver", "drop"]) });
        break;
      case "reset":
        this.#proxy.reset();
    }
    await delay(chance.int(50, 300));
  }

  async stop(faults: Faults): Promise<void> {
    await this.#proxy.heal();
    await this.#pod?.term(8_000);
    faults.blackholed += this.#proxy.counts.blackholed;
    faults.reset += this.#proxy.counts.reset;
    await this.#proxy.close();
  }
}

/** Lets one run take place. */
export async function runFleet(settings: RunSettings): Promise<Run> {
  const { seed, prefix, locks, server, redis, lock } = settings;
  const faults: Faults = { pauses: 0, kills: 0, lostReplies: 0, blackholed: 0, reset: 0 };
  const all: Place[] = [];
  for (let number = 0; number < places; number += 1) {
    all.push(new Place(settings, number, await FaultProxy.start(server.address)));
  }
  await Promise.all(all.map((place) => place.start()));
  await Promise.all(
    all.map(async (place, number) => {
      const chance = random(`${seed}/faults/${number}`);
      for (const kind of chance.shuffle(troubles)) await place.trouble(kind, chance, faults);
    }),
  );
  // On a busy machine less happens in the same time.
  const names = Array.from({ length: locks }, (_, index) => `${prefix}${index}`);
  const isEnough = async (): Promise<boolean> => {
    const values = await redis.mget(...names.map((name) => `{user:${name}}:count`));
    return values.reduce((sum, value) => sum + Number(value ?? 0), 0) >= incrementsPerLock * locks;
  };
  await pollUntil("enough has happened", isEnough, { timeoutMs: 60_000 });
  await Promise.all(all.map((place) => place.stop(faults)));

  const entries = await History.read<HistoryEvent>(...all.flatMap(({ files }) => files));
  const logs = new Map<string, string[]>();
  const counts = new Map<string, number>();
  for (const name of names) {
    logs.set(name, await redis.lrange(`{user:${name}}:log`, "0", "-1"));
    counts.set(name, Number((await redis.get(`{user:${name}}:count`)) ?? 0));
  }
  let left: string[] = [];
  const isOver = async (): Promise<boolean> => {
    const states = await Promise.all(names.map((name) => lock.inspect(name)));
    left = names.filter((_, index) => states[index] !== null);
    return left.length === 0;
  };
  await pollUntil("every lease has passed", isOver, { timeoutMs: 5_000 }).catch(() => undefined);
  return { seed, entries, logs, counts, faults, left };
}
