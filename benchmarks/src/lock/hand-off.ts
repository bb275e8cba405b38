/**
 * Fifty waiters want one lock: how long after a release does the next of them run, and what does it cost? A holder keeps the lock for 5 ms.
 * It queues up again only when the next one has the lock, so that there are always fifty waiters and nobody hands over to itself.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { median, quantile } from "../figure.ts";
import type { Bench, Figure, Turn } from "../figure.ts";
import { withRedis } from "../load.ts";
import { ClientCommands } from "./client-commands.ts";
import { bareHandOver, floor, holdfast, redlock, semaphore, universal } from "./contestants.ts";
import type { Locks, OpenLocks } from "./contestants.ts";
import { roundTripsMs } from "./round-trip.ts";

const waiters = 50;
/** As many services, each with its own connection. */
const clients = 10;
const holdMs = 5;
/** Before the first one that counts, until everybody waits. */
const warmUp = 20;
const handOffs = 150;
const name = "invoice-42";
/** The floor of those that tell the next one; no lock, since nobody gets it when a holder dies. */
const bare = "bare hand-over";

interface HandOff {
  readonly latenciesMs: readonly number[];
  readonly commands: number;
}

/** Runs until enough hand-offs have been seen, and lets all waiters come to their end. */
async function handOver(services: readonly Locks[]): Promise<HandOff> {
  using commands = new ClientCommands();
  const latenciesMs: number[] = [];
  let [seen, holders] = [0, 0];
  let releasedMs: number | undefined;
  let commandsBefore = 0;
  let commandsAfter = 0;
  let taken = Promise.withResolvers<void>();
  const finished = (): boolean => seen >= warmUp + handOffs;
  const wait = async (locks: Locks): Promise<void> => {
    while (!finished()) {
      const release = await locks.acquire(name);
      const runningMs = performance.now();
      holders += 1;
      if (holders !== 1) throw new Error(`${holders} hold the lock at once`);
      if (releasedMs !== undefined && !finished()) {
        seen += 1;
        if (seen === warmUp) commandsBefore = commands.count;
        if (seen > warmUp) latenciesMs.push(runningMs - releasedMs);
        if (finished()) commandsAfter = commands.count;
      }
      taken.resolve();
      if (!finished()) await delay(holdMs);
      taken = Promise.withResolvers<void>();
      const next = taken.promise;
      holders -= 1;
      releasedMs = performance.now();
      await release();
      // The last ones go without a successor.
      if (!finished()) await next;
    }
  };
  await Promise.all(Array.from({ length: waiters + 1 }, (_, index) => wait(services[index % clients] as Locks)));
  return { latenciesMs, commands: commandsAfter - commandsBefore };
}

function handOff(open: OpenLocks): Turn {
  return (bench: Bench) =>
    withRedis(bench, async (probe) => {
      const connections = Array.from({ length: clients }, () => new Redis({ host: bench.host, port: bench.port }));
      const services = connections.map(open);
      try {
        await Promise.all(connections.map((redis) => redis.ping()));
        const before = await roundTripsMs(probe);
        const { latenciesMs, commands } = await handOver(services);
        await Promise.all(services.map((locks) => locks.close()));
        const roundTrips = [...before, ...(await roundTripsMs(probe))];
        const roundTripMs = median(roundTrips);
        const [p50, p98] = [quantile(latenciesMs, 0.5), quantile(latenciesMs, 0.98)];
        return {
          "p50, ms": p50,
          "p98, ms": p98,
          "p50, round trips": p50 / roundTripMs,
          "p98, round trips": p98 / roundTripMs,
          "p98 of a round trip, round trips": quantile(roundTrips, 0.98) / roundTripMs,
          "client commands": commands / handOffs,
        };
      } finally {
        for (const redis of connections) redis.disconnect();
      }
    });
}

const contestants: Readonly<Record<string, Turn>> = {
  redlock: handOff(redlock()),
  "redlock at 10 ms": handOff(redlock({ retryDelay: 10, retryJitter: 5 })),
  "redlock-universal": handOff(universal),
  "redis-semaphore": handOff(semaphore),
  floor: handOff(floor),
  [bare]: handOff(bareHandOver),
  Holdfast: handOff(holdfast),
};

/** Waiting. */
export const handOffFigure: Figure = {
  name: `hand-off among ${waiters} waiters, from the release to the next holder running`,
  warmUps: 2,
  unit: "",
  note: "A round trip is a PING after 5 ms of idleness, in the same turn; its own p98 says what the machine adds. Only Holdfast lets waiters in the order in which they came. The bare hand-over is a list and a message: no lease ends by itself, and whoever dies stops everybody.",
  aim: {
    text: "p50 ≤ 2.5 and p98 ≤ 8 round trips, ≤ 3 client commands, first at p98",
    met: (median) =>
      median("Holdfast", "p50, round trips") <= 2.5 &&
      median("Holdfast", "p98, round trips") <= 8 &&
      median("Holdfast", "client commands") <= 3 &&
      Object.keys(contestants).every(
        (other) => ["Holdfast", bare].includes(other) || median("Holdfast", "p98, ms") < median(other, "p98, ms"),
      ),
  },
  contestants,
};
