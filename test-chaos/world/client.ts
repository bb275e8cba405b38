/** Owns how a pod reaches Redis: the client options that a user would need for the same servers. */
import { Cluster, Redis } from "ioredis";

/** An address. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** How to reach the Redis of the primitives; crosses into pods as JSON. */
export type RedisPlan =
  | { readonly kind: "single"; readonly address: Address }
  | {
      readonly kind: "sentinel";
      readonly sentinels: readonly Address[];
      readonly masterName: string;
      /** A server's own address to the one by which this client shall reach it. */
      readonly addresses: Readonly<Record<string, Address>>;
    }
  | {
      readonly kind: "cluster";
      readonly nodes: readonly Address[];
      readonly addresses: Readonly<Record<string, Address>>;
    };

const retryMaxMs = 300;

function retryDelayMs(attempt: number): number {
  return Math.min(25 * attempt, retryMaxMs);
}

/** Connects; what goes wrong shows in the calls. */
export function connect(plan: RedisPlan): Redis | Cluster {
  const client = open(plan);
  client.on("error", () => undefined);
  return client;
}

function open(plan: RedisPlan): Redis | Cluster {
  switch (plan.kind) {
    case "single":
      return new Redis({ ...plan.address, retryStrategy: retryDelayMs });
    case "sentinel":
      return new Redis({
        sentinels: [...plan.sentinels],
        name: plan.masterName,
        natMap: { ...plan.addresses },
        failoverDetector: true,
        connectTimeout: 1_000,
        sentinelRetryStrategy: retryDelayMs,
        retryStrategy: retryDelayMs,
      });
    case "cluster":
      return new Cluster([...plan.nodes], {
        natMap: { ...plan.addresses },
        clusterRetryStrategy: retryDelayMs,
        slotsRefreshTimeout: 1_000,
        // A paused master keeps its connections open: nothing else tells that another one has its slots.
        slotsRefreshInterval: 1_000,
        redisOptions: { connectTimeout: 1_000 },
      });
  }
}
