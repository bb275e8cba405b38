/** Locks by schedule: one lock, and the guarded log under it. */
import { FencedLock } from "@holdfast/lock";
import type { Hold } from "@holdfast/lock";
import { giveBack, scenario, write } from "../scenarios/lock.ts";
import type { Cast } from "./cast.ts";
import { readClock } from "./read-clock.ts";

const ttlMs = 10_000;
/** Less than whoever holds the lock may take. */
const waitMs = 8_000;
const name = "a";

/** The lock on the stage. */
export const lockCast: Cast = {
  name: "lock",
  // A release that is delivered twice, with somebody waiting, hears of the second delivery that it is lost: no connection does that, and a
  // client that resends knows it. A schedule that is drawn would do it all the time.
  moreActions: ["wait"],
  actions: ["acquire", "write", "release", "renew"],
  pinned: [
    "0.acquire 0.write 0.release 1.acquire 1.write",
    "0.acquire +1000 1.wait 0.release 1.write",
    "0.acquire 0.write 0.freeze +11000 1.acquire 1.write 0.write 0.thaw",
    "0.acquire 0.freeze +9500 0.write!late +600 1.acquire 1.write deliver 0.thaw",
    "0.acquire 0.freeze +11000 1.acquire 1.write 0.write 0.thaw",
    "0.acquire +4000 +4000 +1000 0.renew!late +1000 1.acquire deliver 0.write",
    "0.acquire!late +1000 1.acquire 1.write deliver 0.write 1.write",
    "0.acquire 0.freeze +9000 0.next!late 0.renew +1500 1.acquire deliver 1.write 1.release 0.thaw",
    "0.acquire 0.write!lose 0.write!twice 0.release!late 1.acquire deliver 1.write",
  ],
  scenario: { ...scenario, prepare: async (bench) => void (await readClock(bench, name)) },
  restMs: 11_000,
  enter: (place, clock) => {
    const lock = new FencedLock(place.redis, { prefix: place.prefix, ttlMs, clock, random: place.random });
    let held: Hold | undefined;
    const acquire = async (take: (operationId: string) => Promise<Hold | null>): Promise<void> => {
      if (held !== undefined) return;
      const operation = place.random.id();
      const called = await place.call(
        { call: "acquire", resource: name, operation },
        async () => {
          const hold = await take(operation);
          if (hold === null) throw Object.assign(new Error("busy"), { effect: "none" });
          return hold;
        },
        ({ token }) => ({ token }),
      );
      if (called.outcome !== "ok") return;
      const hold = called.value;
      held = hold;
      hold.signal.addEventListener("abort", () => place.note("told", name, { token: hold.token }), { once: true });
    };
    const release = async (): Promise<void> => {
      const hold = held;
      held = undefined;
      if (hold === undefined) return;
      await giveBack(place, hold, name, () => clock.monotonicMs());
    };
    return {
      act: async (action, onWaits) => {
        if (action === "acquire") await acquire((operationId) => lock.tryAcquire(name, { operationId }));
        else if (action === "wait") {
          onWaits();
          await acquire((operationId) => lock.acquire(name, { operationId, waitMs }));
        } else if (action === "release") await release();
        else if (action === "write" && held !== undefined) await write(place, held, name);
        else if (action === "renew") await held?.renew().catch(() => undefined);
      },
      vanish: () => undefined,
    };
  },
};
