/**
 * A master with replicas watched by Sentinels, all real, on loopback ports.
 */
import { ask } from "./ask.ts";
import { pollUntil } from "./poll.ts";
import type { RedisConfig } from "./redis-config.ts";
import { RedisServer, type RedisServerOptions } from "./redis-server.ts";
import type { RespValue } from "./resp-reader.ts";

/** How to build the group. */
export interface RedisSentinelOptions extends Pick<RedisServerOptions, "aof" | "binary" | "env"> {
  /** Default 2. */
  readonly replicas?: number;
  /** How many Sentinels; a majority of them decides. Default 3. */
  readonly sentinels?: number;
  /** After this many milliseconds without an answer the master counts as down. Default 1 000. */
  readonly downAfterMs?: number;
  /** Within this time a failover is not tried again, in milliseconds. Default 5 000. */
  readonly failoverTimeoutMs?: number;
  /** Default `holdfast`. */
  readonly masterName?: string;
  /** Further redis.conf directives for the master and its replicas, such as `min-replicas-to-write`. */
  readonly config?: RedisConfig;
}

/** What a client of ioredis needs to follow the master. */
export interface SentinelClientOptions {
  readonly sentinels: { host: string; port: number }[];
  readonly name: string;
  /** Without it a client stays on a master that is paused, and writes to it after the failover. */
  readonly failoverDetector: true;
  /** Milliseconds until the next attempt, which are few: tests wait for it. */
  readonly sentinelRetryStrategy: () => number;
  readonly retryStrategy: () => number;
}

/** What {@link RedisSentinel.waitForClient} needs of a client of ioredis. */
export interface FollowingClient {
  readonly status: string;
  connect(): Promise<unknown>;
  info(): Promise<string>;
}

const readyTimeoutMs = 60_000;
const retryMs = 50;
const downAfterDefaultMs = 1_000;
const failoverTimeoutDefaultMs = 5_000;
/**
 * Sentinels usually ask for news every 10 s and greet one another every 2 s; the first failover needs both. One that stood still takes no
 * part for a while, since it cannot tell its own pause from that of the master: usually after 2 s, for 30 s. On a starved machine they all
 * stand still again and again, and would never fail over; half of the time after which the master counts as down is noticed, too, and a
 * second is enough to hear from everybody again.
 */
const fastPeriods = ["INFO-PERIOD", 500, "PUBLISH-PERIOD", 200, "TILT-PERIOD", 1_000] as const;

/** One master, its replicas and their Sentinels, ready to fail over. */
export class RedisSentinel implements AsyncDisposable {
  /** The name by which clients ask the Sentinels for the master. */
  readonly masterName: string;
  /** The master at the start, then its replicas. Roles change with failovers: see {@link currentMaster}. */
  readonly servers: readonly RedisServer[];
  /** The Sentinel processes, to be killed and paused like servers. */
  readonly sentinelServers: readonly RedisServer[];

  readonly #failoverTimeoutMs: number;

  private constructor(
    options: RedisSentinelOptions,
    masterName: string,
    servers: readonly RedisServer[],
    sentinels: readonly RedisServer[],
  ) {
    this.masterName = masterName;
    this.servers = servers;
    this.sentinelServers = sentinels;
    this.#failoverTimeoutMs = options.failoverTimeoutMs ?? failoverTimeoutDefaultMs;
  }

  /**
   * Starts everything and waits until every Sentinel knows the others and all replicas.
   *
   * @throws Error when a process does not start, or they do not find one another in a minute.
   */
  static async start(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
    const { masterName = "holdfast" } = options;
    const started: RedisServer[] = [];
    const keep = (server: RedisServer): RedisServer => {
      started.push(server);
      return server;
    };
    try {
      const master = keep(await startData(options));
      const replicas = await all(options.replicas ?? 2, async () => keep(await startData(options, master)));
      // Sentinels that start before the replicas are linked would hear of them only with the next INFO.
      await pollUntil("the replicas are linked", async () => {
        const info = String(await master.call("INFO", "replication"));
        return [...info.matchAll(/^slave\d+:.*state=online/gm)].length === replicas.length;
      });
      const sentinels = await all(options.sentinels ?? 3, async () =>
        keep(await startSentinel(options, masterName, master)),
      );
      const group = new RedisSentinel(options, masterName, [master, ...replicas], sentinels);
      await group.ready();
      return group;
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      throw error;
    }
  }

  /** Options for a client that follows the master: `new Redis(group.clientOptions)`. */
  get clientOptions(): SentinelClientOptions {
    return {
      sentinels: this.sentinels,
      name: this.masterName,
      failoverDetector: true,
      sentinelRetryStrategy: () => retryMs,
      retryStrategy: () => retryMs,
    };
  }

  /** The addresses of the Sentinels. */
  get sentinels(): { host: string; port: number }[] {
    return this.sentinelServers.map(({ host, port }) => ({ host, port }));
  }

  /** The server that most of the answering Sentinels call the master. */
  async currentMaster(): Promise<RedisServer> {
    const votes = new Map<number, number>();
    await Promise.all(
      this.sentinelServers.map(async (sentinel) => {
        const address = await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.masterName).catch(() => null);
        const port = Array.isArray(address) ? Number(address[1]) : undefined;
        if (port !== undefined) votes.set(port, (votes.get(port) ?? 0) + 1);
      }),
    );
    const [port] = [...votes].toSorted((a, b) => b[1] - a[1])[0] ?? [];
    const master = this.servers.find((server) => server.port === port);
    if (master === undefined) throw new Error(`No Sentinel answered who is master of ${this.masterName}.`);
    return master;
  }

  /**
   * Waits until the Sentinels name another master than `old`, and that one takes writes.
   *
   * @returns the new master.
   */
  waitForFailover(old: RedisServer, timeoutMs: number = readyTimeoutMs): Promise<RedisServer> {
    return pollUntil(`another server than ${old.port} is master`, () => this.#successorOf(old), {
      timeoutMs,
      intervalMs: 20,
    });
  }

  /**
   * Waits until `client` talks to the server that the Sentinels call the master and that is one. Right after a failover it may still talk
   * to the old one, which loses what it is told. ioredis ends a client that hears of the failover while it connects: it is connected again.
   */
  async waitForClient(client: FollowingClient, timeoutMs: number = readyTimeoutMs): Promise<void> {
    const isThere = async (): Promise<boolean> => {
      if (client.status === "end") await client.connect();
      const [info, master] = await Promise.all([client.info(), this.currentMaster()]);
      return /^role:master/m.test(info) && new RegExp(`^tcp_port:${master.port}\\b`, "m").test(info);
    };
    await pollUntil("the client talks to the master", isThere, { timeoutMs, intervalMs: 20 });
  }

  /** Asks the Sentinels for a failover without a fault. Returns the new master. */
  async failover(): Promise<RedisServer> {
    const old = await this.currentMaster();
    const [sentinel] = this.sentinelServers.filter((server) => server.isRunning && !server.isPaused);
    let askAgainMs = 0;
    return pollUntil(
      `another server than ${old.port} is master, as it was asked for`,
      async () => {
        const master = await this.#successorOf(old);
        if (master !== undefined || performance.now() < askAgainMs) return master;
        // Refused while no replica is known to be fit, and given up without a word when it takes longer than its time-out.
        await sentinel?.call("SENTINEL", "FAILOVER", this.masterName);
        askAgainMs = performance.now() + this.#failoverTimeoutMs + 1_000;
        return undefined;
      },
      { timeoutMs: readyTimeoutMs, intervalMs: 20 },
    );
  }

  /** Waits until every running Sentinel knows all running ones, sees the master up and every running replica linked to it. */
  async ready(timeoutMs: number = readyTimeoutMs): Promise<void> {
    await pollUntil(`the Sentinels of ${this.masterName} are ready`, () => this.#isReady(), {
      timeoutMs,
      intervalMs: 20,
    });
  }

  /** Ends every process. */
  async stop(): Promise<void> {
    await Promise.all([...this.sentinelServers, ...this.servers].map((server) => server.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #successorOf(old: RedisServer): Promise<RedisServer | undefined> {
    const master = await this.currentMaster();
    if (master === old) return undefined;
    const [role] = [await ask(master, "ROLE")].flat();
    return role === "master" ? master : undefined;
  }

  async #isReady(): Promise<boolean> {
    const running = this.servers.filter((server) => server.isRunning).length;
    const sentinels = this.sentinelServers.filter((server) => server.isRunning);
    const answers = await Promise.all(
      sentinels.map(async (sentinel) => {
        const master = record(await ask(sentinel, "SENTINEL", "MASTER", this.masterName));
        const replicas = [await ask(sentinel, "SENTINEL", "REPLICAS", this.masterName)].flat().map(record);
        const linked = replicas.filter(
          (replica) => replica.get("flags") === "slave" && replica.get("master-link-status") === "ok",
        );
        return (
          master.get("flags") === "master" &&
          Number(master.get("num-other-sentinels")) >= sentinels.length - 1 &&
          linked.length === running - 1
        );
      }),
    );
    return answers.every(Boolean);
  }
}

function startData(options: RedisSentinelOptions, master?: RedisServer): Promise<RedisServer> {
  const { aof, binary, env, config } = options;
  return RedisServer.start({
    ...(aof === undefined ? {} : { aof }),
    ...(binary === undefined ? {} : { binary }),
    ...(env === undefined ? {} : { env }),
    config: {
      "repl-diskless-sync-delay": 0,
      "repl-ping-replica-period": 1,
      ...(master === undefined ? {} : { replicaof: `${master.host} ${master.port}` }),
      ...config,
    },
  });
}

async function startSentinel(options: RedisSentinelOptions, name: string, master: RedisServer): Promise<RedisServer> {
  const { binary, env, sentinels = 3, downAfterMs = downAfterDefaultMs } = options;
  const { failoverTimeoutMs = failoverTimeoutDefaultMs } = options;
  const password = options.config?.["requirepass"];
  const sentinel = await RedisServer.start({
    ...(binary === undefined ? {} : { binary }),
    ...(env === undefined ? {} : { env }),
    args: ["--sentinel"],
    config: {
      sentinel: [
        `monitor ${name} ${master.host} ${master.port} ${Math.floor(sentinels / 2) + 1}`,
        `down-after-milliseconds ${name} ${downAfterMs}`,
        `failover-timeout ${name} ${failoverTimeoutMs}`,
        ...(password === undefined ? [] : [`auth-pass ${name} ${String(password)}`]),
      ],
    },
  });
  // Known since Redis 7; without it everything takes a few seconds more.
  const tiltTriggerMs = Math.ceil(downAfterMs / 2);
  await sentinel.call("SENTINEL", "DEBUG", ...fastPeriods, "TILT-TRIGGER", tiltTriggerMs).catch(() => undefined);
  return sentinel;
}

async function all<T>(count: number, start: () => Promise<T>): Promise<T[]> {
  const settled = await Promise.allSettled(Array.from({ length: count }, start));
  return settled.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}

/** A reply of names and values in turn. */
function record(reply: RespValue): Map<string, string> {
  const items = Array.isArray(reply) ? reply.map(String) : [];
  const fields = new Map<string, string>();
  for (let index = 0; index + 1 < items.length; index += 2) fields.set(items[index] ?? "", items[index + 1] ?? "");
  return fields;
}
