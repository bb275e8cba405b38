/**
 * A dependency goes from 80 to 380 ms under 100 calls per second, with real timers and in a process of its own. Goodput is what was answered
 * within 500 ms of what was offered, at fixed arrivals. Merely slow it has room for everybody; saturated it works on twelve requests at a
 * time, and whatever is sent on top waits there.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Bulkhead } from "@holdfast/bulkhead";
import type { BulkheadOptions } from "@holdfast/bulkhead";
import { Pod } from "@holdfast/testkit";
import { bulkhead, timeout, TimeoutStrategy, wrap } from "cockatiel";
import CircuitBreaker from "opossum";
import type { Figure, Turn } from "../figure.ts";
import { cockatielBreaker } from "./contestants.ts";

const everyMs = 10;
const deadlineMs = 500;
const slots = 12;
const queueMax = 100;
const openMs = 2_000;
const warmUpCalls = 300;
const slowCalls = 2_000;
const placesOfSaturated = 12;
const fixedLimits = [8, 12, 16];

type Work = () => Promise<void>;

/** Calls through whatever stands in between. */
interface Caller {
  run(work: Work): Promise<unknown>;
  readonly openings: () => number;
}

/** One connection; like most clients it does not stop what it has begun. */
async function connectTo(port: number): Promise<{ call: Work; close: () => void }> {
  const socket = connect(port, "127.0.0.1");
  const open = new Map<string, () => void>();
  createInterface({ input: socket }).on("line", (id) => {
    open.get(id)?.();
    open.delete(id);
  });
  await once(socket, "connect");
  let last = 0;
  const call = (): Promise<void> =>
    new Promise((resolve) => {
      last += 1;
      open.set(String(last), resolve);
      socket.write(`${last}\n`);
    });
  return { call, close: () => socket.destroy() };
}

function slowdown(make: () => Caller, workers?: number): Turn {
  return async () => {
    const env = workers === undefined ? {} : { WORKERS: String(workers) };
    await using dependency = await Pod.start(new URL("slowdown-dependency.ts", import.meta.url), { env });
    const { call: work, close } = await connectTo(await dependency.ready<number>());
    const caller = make();
    const seen = { inTime: 0, longestMs: 0 };
    const call = async (counts: boolean): Promise<void> => {
      const startMs = performance.now();
      const answered = await caller.run(work).then(
        () => true,
        () => false,
      );
      const tookMs = performance.now() - startMs;
      if (!counts) return;
      if (answered && tookMs <= deadlineMs) seen.inTime += 1;
      seen.longestMs = Math.max(seen.longestMs, tookMs);
    };
    const calls: Promise<void>[] = [];
    const beginMs = performance.now();
    for (let index = 0; index < warmUpCalls + slowCalls; index += 1) {
      if (index === warmUpCalls) await dependency.request("slow");
      // By the clock: a late call does not put off the next one.
      const leftMs = beginMs + index * everyMs - performance.now();
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
      calls.push(call(index >= warmUpCalls));
    }
    await Promise.all(calls);
    close();
    return {
      "goodput, %": (100 * seen.inTime) / slowCalls,
      "breaker openings": caller.openings(),
      "longest wait, ms": seen.longestMs,
    };
  };
}

function holdfast(options: BulkheadOptions): () => Caller {
  return () => {
    let openings = 0;
    const one = new Bulkhead("bench", {
      concurrencyMax: slots,
      queueMax,
      queue: "lifo",
      timeoutMs: deadlineMs,
      breaker: { openMs },
      ...options,
      onEvent: (event) => {
        if (event.type === "breaker" && event.state === "open") openings += 1;
      },
    });
    return { run: (work) => one.run(work), openings: () => openings };
  };
}

function opossum(): Caller {
  let openings = 0;
  const breaker = new CircuitBreaker((work: Work) => work(), {
    timeout: deadlineMs,
    capacity: slots,
    resetTimeout: openMs,
    volumeThreshold: 20,
    rollingPercentilesEnabled: false,
    enableSnapshots: false,
  });
  breaker.on("open", () => {
    openings += 1;
  });
  return { run: (work) => breaker.fire(work), openings: () => openings };
}

/** The order of cockatiel's policies, outermost first. */
function cockatiel(order: "timeout first" | "breaker first" | "bulkhead first"): () => Caller {
  return () => {
    let openings = 0;
    const breaker = cockatielBreaker(openMs);
    breaker.onBreak(() => {
      openings += 1;
    });
    const room = bulkhead(slots, queueMax);
    const time = timeout(deadlineMs, TimeoutStrategy.Aggressive);
    const orders = {
      "timeout first": wrap(time, breaker, room),
      "breaker first": wrap(breaker, time, room),
      "bulkhead first": wrap(room, breaker, time),
    };
    const policy = orders[order];
    return { run: (work) => policy.execute(() => work()), openings: () => openings };
  };
}

const adaptive: BulkheadOptions = { adaptive: { concurrencyMin: 4, concurrencyMax: 64 } };

/** It has room for everybody. */
export const merelySlow: Figure = {
  name: "80 → 380 ms at 100 calls/s, 12 permits, room for everybody",
  unit: "",
  note: `cockatiel in three orders of its policies, outermost first. opossum has no queue. Holdfast with queue "lifo" and \`adaptive\`; beside it the fixed limit.`,
  repetitionsMax: 1,
  aim: {
    text: "goodput ≥ 75 %, the breaker stays closed, no wait past the deadline",
    met: (median) =>
      median("Holdfast", "goodput, %") >= 75 &&
      median("Holdfast", "breaker openings") === 0 &&
      // A timer may be late on a busy machine.
      median("Holdfast", "longest wait, ms") <= deadlineMs + 50,
  },
  contestants: {
    "cockatiel, timeout first": slowdown(cockatiel("timeout first")),
    "cockatiel, breaker first": slowdown(cockatiel("breaker first")),
    "cockatiel, bulkhead first": slowdown(cockatiel("bulkhead first")),
    opossum: slowdown(opossum),
    "Holdfast, fixed limit": slowdown(holdfast({})),
    Holdfast: slowdown(holdfast(adaptive)),
  },
};

/** It works on twelve requests at a time. */
export const saturated: Figure = {
  name: "80 → 380 ms at 100 calls/s, 12 permits, saturated at 12",
  unit: "",
  note: "More calls in flight make it slower here. 12 is the best limit that can be, and nobody knows it beforehand.",
  repetitionsMax: 1,
  aim: {
    text: "goodput never below the best fixed limit, the breaker stays closed",
    met: (median) =>
      median("Holdfast", "goodput, %") >=
        Math.max(...fixedLimits.map((limit) => median(`Holdfast, fixed at ${limit}`, "goodput, %"))) &&
      median("Holdfast", "breaker openings") === 0,
  },
  contestants: {
    "cockatiel, timeout first": slowdown(cockatiel("timeout first"), placesOfSaturated),
    opossum: slowdown(opossum, placesOfSaturated),
    ...Object.fromEntries(
      fixedLimits.map((concurrencyMax) => [
        `Holdfast, fixed at ${concurrencyMax}`,
        slowdown(holdfast({ concurrencyMax }), placesOfSaturated),
      ]),
    ),
    Holdfast: slowdown(holdfast(adaptive), placesOfSaturated),
  },
};
