/** The unit of waiting: a PING after 5 ms of idleness, as a hand-off finds its connection. */
import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";

const idleMs = 5;
const pings = 50;

/** Round trips in milliseconds. */
export async function roundTripsMs(redis: Redis): Promise<number[]> {
  const trips: number[] = [];
  for (let index = 0; index < pings; index += 1) {
    await delay(idleMs);
    const sentMs = performance.now();
    await redis.ping();
    trips.push(performance.now() - sentMs);
  }
  return trips;
}
