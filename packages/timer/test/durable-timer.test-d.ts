/** What compiles and what does not, under exactOptionalPropertyTypes. Checked by tsc, never run. */
import { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { DurableTimer } from "../src/index.ts";
import type { CancelResult, Firing, ScheduleResult, StopReport, TimerEvent, WorkerOptions } from "../src/index.ts";

declare const redis: Redis6;
interface Order {
  readonly orderId: string;
}

/** Clients of both majors, single and Cluster, fit. */
export const clients: readonly DurableTimer<Order>[] = [
  new DurableTimer<Order>(new Redis6(), "x"),
  new DurableTimer<Order>(new Redis5(), "x"),
  new DurableTimer<Order>(new Cluster6([]), "x"),
  new DurableTimer<Order>(new Cluster5([]), "x"),
];

/** Options accept explicit undefined. */
export const loose: DurableTimer<Order> = new DurableTimer<Order>(redis, "x", {
  shards: undefined,
  prefix: undefined,
  payload: undefined,
  pendingMax: undefined,
  payloadBytesMax: undefined,
  delayMaxMs: undefined,
  rememberMs: undefined,
  commandTimeoutMs: undefined,
  clock: undefined,
  random: undefined,
  onEvent: undefined,
  durability: undefined,
});

/** So do a worker's. */
export const worker: WorkerOptions = {
  concurrencyMax: undefined,
  leaseMs: undefined,
  attemptsMax: undefined,
  backoff: { baseMs: undefined, delayMaxMs: undefined, jitter: undefined },
  pollMs: undefined,
};

const timer = new DurableTimer<Order>(redis, "x");
const bare = new DurableTimer(redis, "x");

/** Statements that compile. */
export async function compiles(): Promise<void> {
  const payload = { orderId: "1" };
  await timer.schedule({ id: "a", afterMs: 1, payload });
  await timer.schedule({ id: "a", at: new Date(), payload, ifExists: "earliest", operationId: undefined });
  await bare.schedule({ id: "a", afterMs: 1 });
  const result: ScheduleResult = await timer.schedule({ id: "a", at: 1, payload, ifExists: undefined });
  switch (result.kind) {
    case "scheduled":
    case "kept":
    case "replaced":
    case "firing":
      break;
    default:
      result.kind satisfies never;
  }
  const cancelled: CancelResult = await timer.cancel("a", { operationId: undefined });
  switch (cancelled.kind) {
    case "cancelled":
    case "firing":
    case "absent":
      break;
    default:
      cancelled.kind satisfies never;
  }
  const worker = timer.worker({ concurrencyMax: undefined, backoff: { baseMs: 1 } }, (firing) => {
    firing satisfies Firing<Order>;
    firing.payload.orderId satisfies string;
    firing.token satisfies number;
    firing.signal satisfies AbortSignal;
    // @ts-expect-error a firing is read-only
    firing.token = 1;
  });
  timer.worker(async () => undefined);
  const report: StopReport = await worker.stop({ graceMs: 1 });
  report.unfinished satisfies number;
  void new DurableTimer<Order>(redis, "x", {
    onEvent: (event: TimerEvent) => {
      if (event.type === "fired") event.latenessMs satisfies number;
    },
  });
}

/** Statements that do not. */
export async function refused(): Promise<void> {
  const payload = { orderId: "1" };
  // @ts-expect-error one of afterMs and at is needed
  await timer.schedule({ id: "a", payload });
  // @ts-expect-error only one of afterMs and at
  await timer.schedule({ id: "a", afterMs: 1, at: new Date(), payload });
  // @ts-expect-error the payload is needed
  await timer.schedule({ id: "a", afterMs: 1 });
  // @ts-expect-error the payload has a type
  await timer.schedule({ id: "a", afterMs: 1, payload: { orderId: 1 } });
  // @ts-expect-error a closed set of words
  await timer.schedule({ id: "a", afterMs: 1, payload, ifExists: "overwrite" });
  // @ts-expect-error the id is needed
  await timer.schedule({ afterMs: 1, payload });
  // @ts-expect-error a worker has a handler
  timer.worker({ concurrencyMax: 1 });
  // @ts-expect-error options have names
  void new DurableTimer(redis, "x", { shard: 1 });
  // @ts-expect-error a client is needed
  void new DurableTimer("redis://localhost", "x");
  // @ts-expect-error something with a call method is not enough
  void new DurableTimer({ call: async () => "OK" }, "x");
  // @ts-expect-error a duration is a number
  void new DurableTimer(redis, "x", { delayMaxMs: "1d" });
  // @ts-expect-error options have names
  timer.worker({ concurrency: 1 }, () => undefined);
  // @ts-expect-error a cancel takes an id
  await timer.cancel({ id: "a" });
  // @ts-expect-error a generation is not to be chosen
  await timer.schedule({ id: "a", afterMs: 1, payload, generation: 1 });
  // @ts-expect-error a closed set of answers
  if ((await timer.cancel("a")).kind === "gone") return;
  // @ts-expect-error reconcile needs a time
  await timer.reconcile([], {});
}
