export { type ProcessExit } from "./guarded-child.ts";
export { pollUntil, type PollOptions } from "./poll.ts";
export { type RedisConfig } from "./redis-config.ts";
export { type RedisAddress } from "./redis-probe.ts";
export { type ExternalRedisOptions, RedisServer, type RedisServerOptions } from "./redis-server.ts";
export { RespError, type RespValue } from "./resp-reader.ts";
export { Pod, type PodOptions, type PodTermination } from "./pod.ts";
export { type PodHandlers, reportReady, servePod } from "./pod-side.ts";
