/** Workers that hold a lease while the test does something to it. */
import type { Firing } from "../src/index.ts";
import { Catcher, Gate } from "./client.ts";
import type { Desk } from "./client.ts";

/** A worker whose handler runs until the test ends it, with the firing it runs. */
export async function occupied(
  desk: Desk,
  url: string,
  name: string,
  leaseMs = 30_000,
): Promise<{
  firing: Firing<undefined>;
  gate: Gate;
  worker: {
    stop(options: { graceMs: number }): Promise<unknown>;
    idle(): Promise<void>;
    counts(): { stale: number; lost: number; fired: number };
  };
}> {
  const gate = new Gate();
  const started = Promise.withResolvers<Firing<undefined>>();
  const worker = desk.timer(url, name).worker({ leaseMs, pollMs: 20, concurrencyMax: 1 }, async (firing) => {
    started.resolve(firing);
    await gate.opened;
  });
  await worker.start();
  return { firing: await started.promise, gate, worker };
}

/** Lets the lease of the only timer there is have ended long ago. */
export async function lapse(desk: Desk, url: string, name: string): Promise<void> {
  const redis = desk.redis(url);
  const due = `holdfast:{timer:${name}}:due`;
  const [id = ""] = (await redis.call("zrange", [due, 0, 0])) as string[];
  // The end of a lease is no whole millisecond.
  await redis.call("zadd", [due, "1000001", id]);
}

/** Takes the lease away, as if it had ended long ago and been reaped and claimed by another worker. */
export async function overtake(desk: Desk, url: string, name: string): Promise<Catcher> {
  await lapse(desk, url, name);
  const catcher = new Catcher();
  const other = desk.timer(url, name).worker({ pollMs: 20 }, async (firing) => {
    catcher.handle(firing);
    await new Promise(() => undefined);
  });
  await other.start();
  await catcher.caught(1);
  return catcher;
}
