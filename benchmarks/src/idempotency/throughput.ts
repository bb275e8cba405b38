/** First runs and replays per second by 64 callers at a time, and what each costs in round trips, as the server counts them. */
import type { Bench, Figure, Turn } from "../figure.ts";
import { inParallel, perSecond } from "../load.ts";
import { floor, holdfast, nodeIdempotency, paymentOf, powertools } from "./contestants.ts";
import type { Charge, OpenService, Service } from "./contestants.ts";

const count = 10_000;
const concurrency = 64;

const work = async (): Promise<Charge> => ({ charge: "ch_3f1c2a77d0", state: "captured" });

function once(service: Service, index: number): Promise<Charge> {
  return service.run(`key-${String(index).padStart(10, "0")}`, paymentOf(index), work);
}

async function rate(service: Service): Promise<number> {
  const startMs = performance.now();
  await inParallel(count, concurrency, (index) => once(service, index));
  return perSecond(count, startMs);
}

function firstRun(open: OpenService): Turn {
  return async (bench: Bench) => {
    await using service = await open(bench);
    await once(service, count);
    return await rate(service);
  };
}

function replay(open: OpenService): Turn {
  return async (bench: Bench) => {
    await using service = await open(bench);
    await rate(service);
    return await rate(service);
  };
}

/** Commands that clients sent: a script counts once, whatever it calls. */
async function roundTrips(bench: Bench, act: () => Promise<unknown>): Promise<number> {
  await bench.resetCommands();
  await act();
  const stats = await bench.info("commandstats");
  const calls = (name: string): number => Number(/calls=(\d+)/u.exec(stats[`cmdstat_${name}`] ?? "")?.[1] ?? 0);
  const scripts = calls("evalsha") + calls("eval");
  return scripts > 0 ? scripts : calls("set") + calls("get");
}

function trips(open: OpenService): Turn {
  return async (bench: Bench) => {
    await using service = await open(bench);
    await once(service, count);
    const each = 100;
    const all = async (): Promise<void> => {
      for (let index = 0; index < each; index += 1) await once(service, index);
    };
    const first = await roundTrips(bench, all);
    return { "first run": first / each, replay: (await roundTrips(bench, all)) / each };
  };
}

const peers: Readonly<Record<string, OpenService>> = {
  "AWS Powertools": powertools,
  "node-idempotency": nodeIdempotency,
};

function contestants(turn: (open: OpenService) => Turn): Readonly<Record<string, Turn>> {
  const all = { ...peers, floor, Holdfast: holdfast };
  return Object.fromEntries(Object.entries(all).map(([name, open]) => [name, turn(open)]));
}

function firstOf(median: (contestant: string) => number): boolean {
  return Object.keys(peers).every((peer) => median("Holdfast") >= median(peer));
}

const guarantees =
  "Peers: no lease that is renewed, no token, no word to the next attempt; a late worker overwrites the newer result. Powertools compares no payload here.";

/** All figures of throughput. */
export const throughput: readonly Figure[] = [
  {
    name: "first run, concurrency 64",
    unit: "/s",
    warmUps: 2,
    aim: { text: "first among peers", met: firstOf },
    contestants: contestants(firstRun),
    note: guarantees,
  },
  {
    name: "replay, concurrency 64",
    unit: "/s",
    warmUps: 2,
    aim: { text: "first among peers", met: firstOf },
    contestants: contestants(replay),
    note: guarantees,
  },
  {
    name: "round trips of a call",
    unit: "",
    repetitionsMax: 1,
    aim: {
      text: "2 for a first run, 1 for a replay",
      met: (median) => median("Holdfast", "first run") === 2 && median("Holdfast", "replay") === 1,
    },
    contestants: contestants(trips),
  },
];
