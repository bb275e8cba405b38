/**
 * Real servers, pods and networks for tests, and the faults that happen to them.
 *
 * ```ts
 * await using redis = await RedisServer.start({ aof: "always" });
 * await using proxy = await FaultProxy.start(redis);
 * await using pod = await Pod.start("worker.ts", { env: { REDIS_URL: proxy.url } });
 * await pod.ready();
 * const lost = proxy.swallowReply("evalsha");
 * await lost.hit;
 * pod.pause();
 * ```
 */
export { type ProcessExit } from "./guarded-child.ts";
export { pollUntil, type PollOptions } from "./poll.ts";
export { type RedisConfig } from "./redis-config.ts";
export { type RedisAddress } from "./redis-probe.ts";
export { type ExternalRedisOptions, RedisServer, type RedisServerOptions } from "./redis-server.ts";
export { RespError, type RespFrame, RespReader, type RespValue } from "./resp-reader.ts";
export { Pod, type PodOptions, type PodTermination } from "./pod.ts";
export { type PodHandlers, reportReady, servePod } from "./pod-side.ts";
export {
  FaultProxy,
  type FaultProxyOptions,
  type ProxyDirection,
  type ProxyLatency,
  type ProxyTarget,
} from "./fault-proxy.ts";
export { type FaultCounts } from "./proxy-counts.ts";
export { type CommandMatch, type FaultRule, type HoldRule, type RuleOptions } from "./proxy-rule.ts";
export { slotOfKey } from "./cluster-slot.ts";
export { RedisCluster, type RedisClusterOptions } from "./redis-cluster.ts";
export {
  type FollowingClient,
  RedisSentinel,
  type RedisSentinelOptions,
  type SentinelClientOptions,
} from "./redis-sentinel.ts";
export { type MoveOptions, type MoveStep } from "./slot-move.ts";
export { PostgresServer, type PostgresServerOptions } from "./postgres-server.ts";
export { ClockSkew } from "./clock-skew.ts";
export { LeapClock } from "./leap-clock.ts";
export { History, type HistoryEntry, type HistoryOptions } from "./history.ts";
export { ManualClock, type ManualClockOptions, type ManualTimerHandle } from "./manual-clock.ts";
export { random, SeededRandom } from "./seeded-random.ts";
export { Stopwatch } from "./stopwatch.ts";
