/** A process of the history suite: takes locks, adds to guarded logs under them without looking at the clock, and writes down what happens. */
import { setTimeout as delay } from "node:timers/promises";
import { OutcomeUnknownError } from "@holdfast/core";
import { History, random, reportReady } from "@holdfast/testkit";
import type { SeededRandom } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { defineFencedScript, StaleTokenError } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import type { Hold } from "../src/index.ts";
import type { HistoryEvent } from "./history-event.ts";

const [url = "", file = "", seed = "", prefix = "", locks = "0"] = process.argv.slice(2);
const history = new History<HistoryEvent>({ path: file, process: seed });
const redis = new Redis(url, { maxRetriesPerRequest: 3 });
redis.on("error", () => undefined);
const lock = new FencedLock(redis, { ttlMs: 300, commandTimeoutMs: 600, waiterLapseMs: 300 });
const stopping = new AbortController();
process.on("SIGTERM", () => stopping.abort());

const append = defineFencedScript({
  name: "log.append",
  keys: ["log", "count"],
  args: ["entry"],
  source: 'redis.call("RPUSH", KEYS[1], ARGV[1])\nreturn redis.call("INCR", KEYS[2])',
});

async function write(hold: Hold, name: string, chance: SeededRandom): Promise<boolean> {
  const { token } = hold;
  const operationId = `${seed}-${chance.id()}`;
  const keys = { log: `{user:${name}}:log`, count: `{user:${name}}:count` };
  history.record({ kind: "writing", name, token, operationId });
  for (let attempt = 1; ; attempt += 1) {
    try {
      await append(redis, hold, keys, { entry: `${token} ${operationId}` }, { operationId, commandTimeoutMs: 600 });
      history.record({ kind: "accepted", name, token, operationId });
      return true;
    } catch (error) {
      if (error instanceof StaleTokenError) {
        history.record({ kind: "refused", name, token, operationId });
        return false;
      }
      if (error instanceof OutcomeUnknownError && attempt < 4) continue;
      history.record({ kind: "unknown", name, token, operationId, error: String(error) });
      return false;
    }
  }
}

async function live(name: string): Promise<void> {
  const chance = random(`${seed}/${name}`);
  while (!stopping.signal.aborted) {
    await delay(chance.int(0, 400));
    const askedAtMs = Number(process.hrtime.bigint()) / 1e6;
    let hold: Hold;
    try {
      hold = await lock.acquire(name, { waitMs: 2_000 });
    } catch (error) {
      history.record({ kind: "not-granted", name, error: String(error) });
      continue;
    }
    history.record({ kind: "granted", name, token: hold.token, askedAtMs });
    for (let left = chance.int(1, 3); left > 0; left -= 1) {
      await delay(chance.int(0, 60));
      if (!(await write(hold, name, chance))) break;
    }
    await hold.release().catch(() => undefined);
  }
}

await redis.ping();
reportReady();
await Promise.all(Array.from({ length: Number(locks) }, (_, index) => live(`${prefix}${index}`)));
await lock.close();
redis.disconnect();
