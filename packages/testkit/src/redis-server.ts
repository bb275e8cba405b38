/**
 * One real redis-server. Owns its process, its port and its directory; clusters and sentinels are made of these.
 */
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GuardedChild, type ProcessExit } from "./guarded-child.ts";
import { freePort, loopback, releasePort } from "./loopback-port.ts";
import { HopelessError, pollUntil } from "./poll.ts";
import { callRedis, type RedisAddress, RedisProbe } from "./redis-probe.ts";
import { type RedisConfig, renderRedisConfig } from "./redis-config.ts";
import { RespError, type RespValue } from "./resp-reader.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./temporary-directory.ts";

/** How to start a private server. */
export interface RedisServerOptions {
  /** The append-only file: `true` for `appendfsync everysec`, or the policy. Default: nothing is ever written to disk. */
  readonly aof?: boolean | "always" | "everysec" | "no";
  /** Further redis.conf directives; they win over the defaults. `requirepass` is used for `url` and for the checks, too. */
  readonly config?: RedisConfig;
  /** The program. Default: the environment variable `HOLDFAST_REDIS_SERVER`, else `redis-server`. */
  readonly binary?: string;
  /** Extra environment variables of the server process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Extra arguments of the program, such as `--sentinel`. */
  readonly args?: readonly string[];
  /** The longest wait until it answers, in milliseconds. Default 30 000. */
  readonly startTimeoutMs?: number;
}

/** A server that runs already. */
export interface ExternalRedisOptions {
  /** `redis://[user[:password]@]host[:port][/db]` */
  readonly url: string;
}

const portAttemptsMax = 10;

class AddressInUseError extends Error {}

/** A redis-server on a free loopback port, private to this process. */
export class RedisServer implements AsyncDisposable {
  readonly host: string;
  /** For clients: `redis://127.0.0.1:port`, with the password when there is one. */
  readonly url: string;
  readonly address: RedisAddress;
  readonly #options: RedisServerOptions;
  readonly #directoryPath: string | undefined;
  #child: GuardedChild | undefined;
  #paused = false;
  #stopped = false;

  private constructor(url: string, options: RedisServerOptions, directory: string | undefined) {
    const parsed = new URL(url);
    this.url = url;
    this.host = parsed.hostname;
    this.#options = options;
    this.#directoryPath = directory;
    this.address = {
      host: this.host,
      port: parsed.port === "" ? 6379 : Number(parsed.port),
      username: parsed.username === "" ? undefined : decodeURIComponent(parsed.username),
      password: parsed.password === "" ? undefined : decodeURIComponent(parsed.password),
    };
  }

  /**
   * Starts a server and waits until it answers; or, with `url`, checks that the one there answers.
   *
   * @throws Error when the program is missing, refuses its configuration, or does not answer in time. The message holds its log.
   */
  static async start(options: RedisServerOptions | ExternalRedisOptions = {}): Promise<RedisServer> {
    if ("url" in options) {
      const external = new RedisServer(options.url, {}, undefined);
      await external.call("PING");
      return external;
    }
    const directory = await makeTemporaryDirectory("redis");
    try {
      for (let attempt = 1; ; attempt += 1) {
        const port = await freePort();
        const server = new RedisServer(urlOf(port, options.config), options, directory);
        try {
          // Only once: Sentinel and CONFIG REWRITE keep their state in this file, and a restart must find it.
          await writeFile(server.#configFile, renderRedisConfig(server.#directives()));
          await server.#launch();
          return server;
        } catch (error) {
          releasePort(port);
          if (!(error instanceof AddressInUseError) || attempt === portAttemptsMax) throw error;
        }
      }
    } catch (error) {
      await removeTemporaryDirectory(directory);
      throw error;
    }
  }

  get port(): number {
    return this.address.port;
  }

  /** The process id of the server. */
  get pid(): number {
    return this.#running("pid").pid;
  }

  /** The server's private directory, with its configuration, log and data. */
  get directory(): string {
    if (this.#directoryPath === undefined) throw this.#notOurs("directory");
    return this.#directoryPath;
  }

  /** Whether the server's process runs; a paused one does. An external server counts as running. */
  get isRunning(): boolean {
    return this.#directoryPath === undefined
      ? !this.#stopped
      : this.#child !== undefined && this.#child.exit === undefined;
  }

  /** Whether {@link pause} has frozen it and {@link resume} has not come since. */
  get isPaused(): boolean {
    return this.#paused && this.isRunning;
  }

  /** Sends one command over a connection of its own. For set-up and checks; use a client library for anything else. */
  call(...args: readonly (string | number)[]): Promise<RespValue> {
    return callRedis(this.address, ...args);
  }

  /** Kills the server with SIGKILL: what it had not written to its append-only file is lost. Start it again with `restart`. */
  async kill(): Promise<ProcessExit> {
    const child = this.#running("kill");
    child.signalAll("SIGKILL");
    return child.exited;
  }

  /** Starts the server again on the same port and data directory, killing it first when it still runs. */
  async restart(): Promise<void> {
    if (this.#directoryPath === undefined) throw this.#notOurs("restart");
    if (this.#stopped)
      throw new Error(`The Redis server on port ${this.port} was stopped for good; start another one.`);
    if (this.isRunning) await this.kill();
    // The port lies outside the range of outgoing connections, so it is only ever busy for the moments of a closing socket.
    await pollUntil(`port ${this.port} is free again`, async () => {
      try {
        await this.#launch();
        return true;
      } catch (error) {
        if (error instanceof AddressInUseError) throw error;
        throw new HopelessError(error);
      }
    });
  }

  /** Freezes the server with SIGSTOP: connections stay open and nothing is answered. */
  pause(): void {
    this.#running("pause").signalAll("SIGSTOP");
    this.#paused = true;
  }

  /** Continues a paused server. */
  resume(): void {
    this.#running("resume").signalAll("SIGCONT");
    this.#paused = false;
  }

  /** Ends the server and removes its directory. Safe to repeat; an external server is left alone. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#directoryPath === undefined) return;
    const child = this.#child;
    child?.signalAll("SIGKILL");
    await child?.exited;
    await removeTemporaryDirectory(this.#directoryPath);
    releasePort(this.port);
  }

  /** The last lines of the server's log. */
  async log(lines = 20): Promise<string> {
    const text = await readFile(join(this.directory, "redis.log"), "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(): Promise<void> {
    const options = this.#options;
    const binary = options.binary ?? process.env["HOLDFAST_REDIS_SERVER"] ?? "redis-server";
    const child = await this.#spawn(binary);
    this.#child = child;
    this.#paused = false;

    try {
      await pollUntil(`redis-server answers on port ${this.port}`, () => this.#isReady(child), {
        timeoutMs: options.startTimeoutMs ?? 30_000,
        intervalMs: 3,
      });
    } catch (error) {
      child.signalAll("SIGKILL");
      await child.exited;
      throw await this.#explain(binary, child, error);
    }
  }

  get #configFile(): string {
    return join(this.directory, "redis.conf");
  }

  async #spawn(binary: string): Promise<GuardedChild> {
    // A file, not a pipe: a server that writes to a pipe nobody empties stands still.
    await using log = await open(join(this.directory, "redis.log"), "w");
    return await GuardedChild.start({
      command: binary,
      args: [this.#configFile, ...(this.#options.args ?? [])],
      cwd: this.directory,
      env: { ...process.env, ...this.#options.env },
      output: log.fd,
    });
  }

  #directives(): RedisConfig {
    const { aof = false, config = {} } = this.#options;
    return {
      port: this.port,
      bind: loopback,
      dir: this.directory,
      daemonize: "no",
      ...(this.#options.args?.includes("--sentinel") === true
        ? {}
        : {
            save: "",
            appendonly: aof !== false,
            ...(aof === false ? {} : { appendfsync: aof === true ? "everysec" : aof }),
          }),
      ...config,
    };
  }

  /** Answers, and is the process that was started: another one may have taken the port between the choice and the bind. */
  async #isReady(child: GuardedChild): Promise<boolean> {
    if (child.exit !== undefined) throw new HopelessError(new Error("The process ended."));
    const probe = await RedisProbe.open(this.address);
    try {
      await probe.call("PING");
      const info = String(await probe.call("INFO", "server"));
      const pid = /^process_id:(\d+)/m.exec(info)?.[1];
      return pid === undefined || Number(pid) === child.pid;
    } catch (error) {
      // A user without the right to PING or INFO is a user of a server that is up.
      if (error instanceof RespError && /^(NOPERM|NOAUTH)/.test(error.message)) return true;
      throw error;
    } finally {
      probe.close();
    }
  }

  async #explain(binary: string, child: GuardedChild, cause: unknown): Promise<Error> {
    const log = await this.log();
    if (/Address already in use/i.test(log)) return new AddressInUseError(`Port ${this.port} is in use.`, { cause });
    if (child.exit?.code === 127 || child.exit?.code === 126) {
      return new Error(
        `Cannot run ${binary}. Install Redis 7 or later (apt-get install redis-server, brew install redis), or name the program in HOLDFAST_REDIS_SERVER.`,
        { cause },
      );
    }
    return new Error(`${binary} did not start on port ${this.port}. The end of its log:\n${log}`, { cause });
  }

  #running(action: string): GuardedChild {
    if (this.#directoryPath === undefined) throw this.#notOurs(action);
    if (this.#child === undefined || this.#child.exit !== undefined)
      throw new Error(`The Redis server on port ${this.port} does not run: cannot ${action}.`);
    return this.#child;
  }

  #notOurs(action: string): Error {
    return new Error(
      `The Redis server at ${this.host}:${this.port} was not started here (RedisServer.start({ url })): no ${action}.`,
    );
  }
}

function urlOf(port: number, config: RedisConfig = {}): string {
  const password = config["requirepass"];
  const credentials = password === undefined ? "" : `:${encodeURIComponent(String(password))}@`;
  return `redis://${credentials}${loopback}:${port}`;
}
