/**
 * The shape of a client that we need, met by `Redis` and `Cluster` of ioredis 5 and 6. The client belongs to the caller: it is never
 * closed and never reconfigured, but for `asking.ts`.
 */

/** What may stand in a command. */
export type CommandArgument = string | number | Buffer;

/** A pipeline, as `redis.pipeline(commands)` makes it. */
export interface PipelineLike {
  exec(): Promise<[error: Error | null, result: unknown][] | null>;
}

/** A client for one server or for a master that Sentinel names. */
export interface SingleRedisLike {
  readonly status: string;
  readonly isCluster?: boolean;
  readonly options: { readonly keyPrefix?: string | undefined };
  call(command: string, args: CommandArgument[]): Promise<unknown>;
  callBuffer(command: string, args: CommandArgument[]): Promise<unknown>;
  pipeline(commands: unknown[][]): PipelineLike;
  connect(): Promise<void>;
  disconnect(): void;
  duplicate(override?: object): SingleRedisLike;
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  off(event: string, listener: (...values: unknown[]) => void): unknown;
}

/** A client for a Redis Cluster. */
export interface ClusterRedisLike {
  readonly status: string;
  readonly isCluster: true;
  readonly options: {
    readonly keyPrefix?: string | undefined;
    readonly redisOptions?: { readonly keyPrefix?: string | undefined } | undefined;
  };
  call(command: string, args: CommandArgument[]): Promise<unknown>;
  callBuffer(command: string, args: CommandArgument[]): Promise<unknown>;
  nodes(role: "master" | "all"): SingleRedisLike[];
  connect(): Promise<void>;
  disconnect(): void;
  duplicate(overrideStartupNodes?: never[], overrideOptions?: object): ClusterRedisLike;
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  off(event: string, listener: (...values: unknown[]) => void): unknown;
}

/** Any client that a primitive accepts. */
export type RedisLike = SingleRedisLike | ClusterRedisLike;

/** True for a client of a Redis Cluster. */
export function isCluster(redis: RedisLike): redis is ClusterRedisLike {
  return redis.isCluster === true;
}

/**
 * Refuses what is no client, and a client whose `keyPrefix` would move our keys out of their hash tag's place.
 * @throws TypeError
 */
export function checkClient(redis: RedisLike): void {
  const candidate = redis as Partial<SingleRedisLike> | null | undefined;
  const needed = ["call", "callBuffer", "duplicate", "on", "off"] as const;
  if (!needed.every((name) => typeof candidate?.[name] === "function") || typeof candidate?.options !== "object") {
    throw new TypeError("redis must be an ioredis client (Redis or Cluster), version 5.10 or later");
  }
  const keyPrefix = redis.options.keyPrefix ?? (isCluster(redis) ? redis.options.redisOptions?.keyPrefix : undefined);
  if (keyPrefix !== undefined && keyPrefix !== "") {
    throw new TypeError(
      `redis must have no keyPrefix, got ${JSON.stringify(keyPrefix)}; use the option prefix of the primitive instead`,
    );
  }
}
