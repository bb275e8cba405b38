/**
 * Looks at a server and at the client's options for what silently breaks guarantees: eviction, no persistence, a clock that is off.
 * Everything is read from INFO, which managed services leave open where CONFIG is forbidden.
 */
import { ClientState } from "./client-state.ts";
import { now, systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { Connection } from "./connection.ts";
import { RedisRefusedError, UnsafeServerError } from "./errors.ts";
import { checkClient, isCluster } from "./redis-like.ts";
import type { RedisLike } from "./redis-like.ts";
import { integerOr, optionsObject } from "./validate.ts";

/** One thing worth knowing: `"danger"` breaks a guarantee, `"warning"` weakens it under a fault, `"info"` could not be read. */
export interface ServerFinding {
  readonly severity: "danger" | "warning" | "info";
  readonly topic: "version" | "role" | "eviction" | "persistence" | "replication" | "clock" | "client" | "access";
  /** What is so, and what to do. */
  readonly message: string;
}

/** What was found. On a Cluster every master is asked, and the report shows the oldest version and the largest offset. */
export interface ServerReport {
  /** The server's version, or null when INFO is forbidden. */
  readonly version: string | null;
  readonly role: string | null;
  /** Local wall clock minus the server's, in milliseconds, uncertain by half a round trip; null when TIME is forbidden. */
  readonly clockOffsetMs: number | null;
  readonly findings: readonly ServerFinding[];
}

/** How to check. */
export interface CheckServerOptions {
  /** Throw UnsafeServerError when a finding is a danger. Default false. */
  readonly strict?: boolean | undefined;
  /** Longest wait for each answer in milliseconds. Default 2,000. */
  readonly commandTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
}

type Info = Readonly<Record<string, string>>;

const versionMin = "7.0.0";
const clockOffsetWarnMs = 1_000;

function parseInfo(text: string): Info {
  const entries = text.split(/\r?\n/u).flatMap((line) => {
    const colon = line.indexOf(":");
    return colon > 0 && !line.startsWith("#") ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
  });
  return Object.fromEntries(entries);
}

/** Negative when version a is older than version b. */
function compareVersions(a: string, b: string): number {
  const [aParts, bParts] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (const index of [0, 1, 2]) {
    const difference = (aParts[index] ?? 0) - (bParts[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function* serverFindings(info: Info): Generator<ServerFinding> {
  const version = info["redis_version"] ?? "0.0.0";
  if (compareVersions(version, versionMin) < 0) {
    yield danger("version", `Redis ${version} is too old; use ${versionMin} or later`);
  }
  if (info["role"] === "slave")
    yield danger("role", "the client talks to a replica, which takes no writes; use its master");
  const policy = info["maxmemory_policy"] ?? "noeviction";
  if (policy !== "noeviction") {
    const isLimited = info["maxmemory"] !== "0";
    const message = `maxmemory-policy is ${policy}: Redis drops locks, timers and fences when memory is short; set noeviction`;
    yield isLimited ? danger("eviction", message) : warning("eviction", `${message} (no maxmemory is set now)`);
  }
  if (info["aof_enabled"] === "0") {
    yield warning("persistence", "no append-only file: a restart of Redis forgets what it held; set appendonly yes");
  }
  const replicas = Number(info["connected_slaves"] ?? 0);
  // The field appears in INFO only when min-replicas-to-write is set.
  if (replicas > 0 && info["min_slaves_good_slaves"] === undefined) {
    yield warning(
      "replication",
      "min-replicas-to-write is not set: after a failover the old master accepts writes that are lost; set it to 1",
    );
  }
}

function* clientFindings(redis: RedisLike): Generator<ServerFinding> {
  const options = redis.options as Readonly<Record<string, unknown>>;
  if (options["autoResendUnfulfilledCommands"] === false) {
    yield warning(
      "client",
      "autoResendUnfulfilledCommands: false leaves promises pending for ever in ioredis 6.0.0; leave it on, calls here are safe to repeat",
    );
  }
  if (!isCluster(redis) && Array.isArray(options["sentinels"]) && options["failoverDetector"] !== true) {
    yield warning(
      "client",
      "failoverDetector is off: the client stays on a paused master and writes to it after the failover; set failoverDetector: true",
    );
  }
}

function danger(topic: ServerFinding["topic"], message: string): ServerFinding {
  return { severity: "danger", topic, message };
}

function warning(topic: ServerFinding["topic"], message: string): ServerFinding {
  return { severity: "warning", topic, message };
}

/** What one server says; null where the user may not ask. */
interface Reading {
  readonly info: Info | null;
  readonly clockOffsetMs: number | null;
  readonly findings: readonly ServerFinding[];
}

async function readServer(redis: RedisLike, clock: Clock, timeoutMs: number): Promise<Reading> {
  const connection = Connection.of(redis, clock);
  const findings: ServerFinding[] = [];
  const attempt = async (command: string): Promise<unknown> => {
    try {
      return await connection.read(command, [], { operation: "checkServer", timeoutMs });
    } catch (error) {
      if (!(error instanceof RedisRefusedError)) throw error;
      const message = `${command} is not allowed (${error.reason}), so what it tells is unknown`;
      findings.push({ severity: "info", topic: "access", message });
      return null;
    }
  };

  const infoText = await attempt("info");
  const info = typeof infoText === "string" ? parseInfo(infoText) : null;
  if (info !== null) findings.push(...serverFindings(info));

  const sentAt = now(clock);
  const time = await attempt("time");
  if (!Array.isArray(time)) return { info, clockOffsetMs: null, findings };
  const serverMs = Number(time[0]) * 1_000 + Number(time[1]) / 1_000;
  const receivedMs = clock.wallMs();
  const clockOffsetMs = Math.round((sentAt.wallMs + receivedMs) / 2 - serverMs);
  // What a slow answer explains is no difference of the clocks.
  if (Math.abs(clockOffsetMs) - Math.abs(receivedMs - sentAt.wallMs) / 2 > clockOffsetWarnMs) {
    const message = `the clocks of this process and of Redis differ by ${clockOffsetMs} ms; timers follow Redis; run NTP on both`;
    findings.push(warning("clock", message));
  }
  return { info, clockOffsetMs, findings };
}

/**
 * Checks version, role, eviction policy, persistence, replication, clock offset and dangerous client options. What the user may not
 * read is reported as unknown, not as an error.
 * @throws RedisUnavailableError, and UnsafeServerError when `strict` and something is dangerous; TypeError, RangeError for an option
 */
export async function checkServer(redis: RedisLike, options: CheckServerOptions = {}): Promise<ServerReport> {
  checkClient(redis);
  optionsObject("options", options);
  const clock = options.clock ?? systemClock;
  const timeoutMs = integerOr(2_000, "commandTimeoutMs", options.commandTimeoutMs, { min: 10, max: 600_000 });
  const state = ClientState.of(redis);
  if (!state.canSend) await state.whenReady(clock, clock.monotonicMs() + timeoutMs, "checkServer");

  const servers: readonly RedisLike[] = isCluster(redis) ? redis.nodes("master") : [redis];
  const readings = await Promise.all(servers.map((server) => readServer(server, clock, timeoutMs)));

  const all = [...clientFindings(redis), ...readings.flatMap(({ findings }) => findings)];
  const findings = [...new Map(all.map((finding) => [finding.message, finding])).values()];
  const dangers = findings.filter(({ severity }) => severity === "danger");
  if (options.strict === true && dangers.length > 0) throw new UnsafeServerError(dangers);
  const infos = readings.flatMap(({ info }) => (info === null ? [] : [info]));
  const versions = infos.flatMap((info) => info["redis_version"] ?? []);
  const offsets = readings.flatMap(({ clockOffsetMs }) => clockOffsetMs ?? []);
  return {
    version: versions.toSorted(compareVersions)[0] ?? null,
    role: infos[0]?.["role"] ?? null,
    clockOffsetMs: offsets.toSorted((a, b) => Math.abs(b) - Math.abs(a))[0] ?? null,
    findings,
  };
}
