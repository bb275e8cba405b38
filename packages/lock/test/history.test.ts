/**
 * Random histories: processes that pause, die and lose replies take 200 locks and write under them. Each lock is one run: its history has
 * to be one that the guarantees allow. All runs share the processes and their faults, so that 200 of them take half a minute.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, History, Pod, random } from "@holdfast/testkit";
import type { HistoryEntry, SeededRandom } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HistoryEvent } from "./history-event.ts";
import { useRealServer } from "./real-server.ts";

type Entry = HistoryEntry<HistoryEvent>;

const real = useRealServer();
const runs = 200;
const places = 3;
const seed = process.env["HOLDFAST_SEED"] ?? "holdfast-lock-1";
const durationMs = 18_000;

interface Faults {
  pauses: number;
  kills: number;
  lostReplies: number;
}

/** One place where a process runs, is paused, killed and started again. */
class Place {
  readonly files: string[] = [];
  readonly #number: number;
  readonly #folder: string;
  readonly #proxy: FaultProxy;
  #pod: Pod | undefined;

  constructor(number: number, folder: string, proxy: FaultProxy) {
    this.#number = number;
    this.#folder = folder;
    this.#proxy = proxy;
  }

  async start(): Promise<void> {
    const life = `${seed}-${this.#number}-${this.files.length}`;
    const file = join(this.#folder, `${this.#number}-${this.files.length}.jsonl`);
    this.files.push(file);
    const args = [this.#proxy.url, file, life, String(runs)];
    this.#pod = await Pod.start(new URL("./history.pod.ts", import.meta.url), { args });
    await this.#pod.ready();
  }

  /** Does one thing to the process or to its connection. */
  async trouble(chance: SeededRandom, faults: Faults): Promise<void> {
    const kind = chance.unit();
    if (kind < 0.35) {
      this.#pod?.pause();
      await delay(chance.int(350, 900));
      this.#pod?.resume();
      faults.pauses += 1;
    } else if (kind < 0.5) {
      await this.#pod?.kill();
      faults.kills += 1;
      await this.start();
    } else if (kind < 0.8) {
      const rule = this.#proxy.swallowReply(/^evalsha/i, { times: chance.int(1, 3) });
      await delay(chance.int(100, 400));
      faults.lostReplies += rule.hits;
      rule.cancel();
    } else if (kind < 0.9) {
      this.#proxy.blackhole(chance.pick(["up", "down", "both"]));
      await delay(chance.int(100, 800));
      await this.#proxy.heal({ held: chance.pick(["deliver", "drop"]) });
    } else {
      this.#proxy.reset();
    }
    await delay(chance.int(50, 400));
  }

  /** Pieces of a conversation that met a blackhole, and connections that were cut. */
  get hit(): { readonly blackholed: number; readonly reset: number } {
    return this.#proxy.counts;
  }

  async stop(): Promise<void> {
    await this.#proxy.heal();
    await this.#pod?.term(8_000);
    await this.#proxy.close();
  }
}

describe("200 runs of random processes", () => {
  let folder: string;
  let entries: Entry[];
  const faults: Faults = { pauses: 0, kills: 0, lostReplies: 0 };
  const hit = { blackholed: 0, reset: 0 };
  const logs = new Map<string, string[]>();
  const counts = new Map<string, number>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-history-"));
    const all: Place[] = [];
    for (let number = 0; number < places; number += 1) {
      const place = new Place(number, folder, await FaultProxy.start(real.server.address));
      await place.start();
      all.push(place);
    }
    const startMs = performance.now();
    // On a busy machine less happens in the same time: enough of each fault counts, not the time alone.
    const enough = (): boolean => {
      hit.blackholed = all.reduce((sum, place) => sum + place.hit.blackholed, 0);
      hit.reset = all.reduce((sum, place) => sum + place.hit.reset, 0);
      const { pauses, kills, lostReplies } = faults;
      return pauses > 10 && kills > 4 && lostReplies > 10 && hit.blackholed > 10 && hit.reset > 4;
    };
    const goesOn = (): boolean => {
      const spentMs = performance.now() - startMs;
      return spentMs < durationMs || (!enough() && spentMs < 3 * durationMs);
    };
    await Promise.all(
      all.map(async (place, number) => {
        const chance = random(`${seed}/faults/${number}`);
        while (goesOn()) await place.trouble(chance, faults);
      }),
    );
    enough();
    await Promise.all(all.map((place) => place.stop()));
    entries = await History.read<HistoryEvent>(...all.flatMap(({ files }) => files));
    for (let run = 0; run < runs; run += 1) {
      logs.set(`n${run}`, await real.redis.lrange(`{user:n${run}}:log`, "0", "-1"));
      counts.set(`n${run}`, Number((await real.redis.get(`{user:n${run}}:count`)) ?? 0));
    }
    console.log(
      `seed ${seed}: ${entries.length} entries, ${JSON.stringify({ ...faults, ...hit })}, ${JSON.stringify(tally())}, ${runsThatWereHit()} runs were hit`,
    );
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  function tally(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const { kind } of entries) found[kind] = (found[kind] ?? 0) + 1;
    return found;
  }

  function of<Kind extends HistoryEvent["kind"]>(...kinds: Kind[]): Extract<Entry, { kind: Kind }>[] {
    const wanted: readonly string[] = kinds;
    return entries.filter(({ kind }) => wanted.includes(kind)) as Extract<Entry, { kind: Kind }>[];
  }

  function byName<Item extends { readonly name: string }>(items: readonly Item[]): Map<string, Item[]> {
    return Map.groupBy(items, ({ name }) => name);
  }

  /** Runs in which a fault met a holder: a write was refused, cut off, or its answer lost for good. */
  function runsThatWereHit(): number {
    const ended = new Set(of("accepted", "refused", "unknown").map(({ operationId }) => operationId));
    const cutOff = of("writing").filter(({ operationId }) => !ended.has(operationId));
    return new Set([...cutOff, ...of("refused", "unknown")].map(({ name }) => name)).size;
  }

  it("did enough, and the faults hit work in flight", () => {
    const found = tally();
    expect(byName(of("granted")).size).toBe(runs);
    expect(found["granted"]).toBeGreaterThan(1_500);
    expect(found["accepted"]).toBeGreaterThan(1_500);
    expect(found["refused"]).toBeGreaterThan(30);
    expect(faults.pauses).toBeGreaterThan(10);
    expect(faults.kills).toBeGreaterThan(4);
    expect(faults.lostReplies).toBeGreaterThan(10);
    // Each of the runs has its own history; most of them met a fault in the middle of a hold.
    expect(runsThatWereHit()).toBeGreaterThan(runs / 2);
    expect(hit.blackholed).toBeGreaterThan(10);
    expect(hit.reset).toBeGreaterThan(4);
    // A write that began and has no end was cut off by a kill.
    const ended = new Set(of("accepted", "refused", "unknown").map(({ operationId }) => operationId));
    expect(of("writing").filter(({ operationId }) => !ended.has(operationId)).length).toBeGreaterThan(0);
  });

  it("L1 in every run tokens are unique and strictly increase in real time", () => {
    const inverted: string[] = [];
    for (const [name, grants] of byName(of("granted"))) {
      const tokens = grants.map(({ token }) => token);
      expect([name, new Set(tokens).size]).toEqual([name, tokens.length]);
      // By the time of the answer; a grant that was asked for after another was answered has the higher token.
      let highest = 0;
      const asked = grants.toSorted((one, other) => one.askedAtMs - other.askedAtMs);
      const answered = grants.toSorted((one, other) => one.atMs - other.atMs);
      let next = 0;
      for (const grant of asked) {
        for (; next < answered.length && (answered[next]?.atMs ?? 0) < grant.askedAtMs; next += 1) {
          highest = Math.max(highest, answered[next]?.token ?? 0);
        }
        if (grant.token <= highest) inverted.push(`${name}: ${grant.token} after ${highest}`);
      }
    }
    expect(inverted).toEqual([]);
  });

  it("L5 in every run each stale write is refused: what the resource took has tokens that never go down", () => {
    for (const [name, log] of logs) {
      const tokens = log.map((entry) => Number(entry.split(" ")[0]));
      expect([name, tokens]).toEqual([name, tokens.toSorted((one, other) => one - other)]);
    }
    const applied = new Set([...logs.values()].flat().map((entry) => entry.split(" ")[1]));
    expect(of("refused").filter(({ operationId }) => applied.has(operationId))).toEqual([]);
  });

  it("L3 in every run the guarded counter equals the accepted increments, each applied once", () => {
    const accepted = byName(of("accepted"));
    const writing = byName(of("writing"));
    for (const [name, log] of logs) {
      const applied = log.map((entry) => entry.split(" ")[1] ?? "");
      const once = new Set(applied);
      expect([name, once.size, counts.get(name)]).toEqual([name, applied.length, applied.length]);
      const known = new Set((accepted.get(name) ?? []).map((entry) => entry.operationId));
      expect([...known].filter((operationId) => !once.has(operationId))).toEqual([]);
      // Whatever else was applied is a write whose answer nobody got.
      const begun = new Set((writing.get(name) ?? []).map((entry) => entry.operationId));
      expect(applied.filter((operationId) => !known.has(operationId) && !begun.has(operationId))).toEqual([]);
    }
  });

  it("leaves no lock held, no waiter and no key without an end", async () => {
    const held = await Promise.all(Array.from({ length: runs }, (_, run) => real.lock().inspect(`n${run}`)));
    expect(held.filter((state) => state !== null)).toEqual([]);
  });
});
