/** What the parts of one worker share. */
import type { EventSink } from "@holdfast/core";
import type { TimerEvent } from "./events.ts";
import type { ResolvedTimerOptions, ResolvedWorkerOptions } from "./options.ts";
import type { PayloadCodec } from "./payload.ts";
import type { ShardAccess } from "./shard-access.ts";

/** What a worker has done since it was made. */
export interface WorkerCounts {
  /** Deliveries taken from the server. */
  claimed: number;
  /** Handlers that ended well. */
  fired: number;
  /** Handlers that failed and are tried again. */
  retried: number;
  /** Timers given up, to the dead letters. */
  dead: number;
  /** Leases that ended while the handler ran. */
  lost: number;
  /** What was said about a firing and refused, since the lease was another's by then. */
  stale: number;
  /** Firings given back unstarted. */
  released: number;
  /** Leases of vanished workers that this one saw to. */
  lapsed: number;
}

/** Of a worker that has done nothing. */
export function noCounts(): WorkerCounts {
  return { claimed: 0, fired: 0, retried: 0, dead: 0, lost: 0, stale: 0, released: 0, lapsed: 0 };
}

/** What the parts of one worker share. */
export interface WorkerContext<Payload> {
  readonly workerId: string;
  readonly timer: ResolvedTimerOptions<Payload>;
  readonly options: ResolvedWorkerOptions;
  readonly access: ShardAccess;
  readonly events: EventSink<TimerEvent>;
  readonly codec: PayloadCodec<Payload>;
  readonly counts: WorkerCounts;
}
