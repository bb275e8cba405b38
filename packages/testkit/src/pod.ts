/**
 * A program in a process of its own, treated as Kubernetes treats a pod: asked to stop, killed, frozen, starved.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Duplex } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";
import { GuardedChild, type ProcessExit } from "./guarded-child.ts";
import { Mailbox } from "./mailbox.ts";
import { controlFd, controlVariable, isPodMessage, podMark, type PodMessage } from "./pod-protocol.ts";

/** How to run the program. */
export interface PodOptions {
  readonly args?: readonly string[];
  /** Added to the environment of this process; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Arguments of node itself. Default `["--conditions=@holdfast/source"]`; other packages ignore that condition. */
  readonly nodeArgs?: readonly string[];
  readonly cwd?: string;
  /** Whether its output also goes to this process' standard error. Default false. */
  readonly echo?: boolean;
}

/** How {@link Pod.term} ended. */
export interface PodTermination extends ProcessExit {
  /** True when the program ended by itself within the grace period, false when SIGKILL ended it. */
  readonly graceful: boolean;
  /** The time from SIGTERM to the end, in milliseconds. */
  readonly tookMs: number;
}

const outputLinesMax = 500;
/** A program that logs for hours is no reason for its test to run out of memory. */
const untakenLinesMax = 10_000;
/** A process has to load its modules first, and a starved machine lets nobody run for seconds. */
const defaultTimeoutMs = 30_000;

/** A child process that never outlives this one. */
export class Pod implements AsyncDisposable {
  /** Resolves when the process has ended and all its output has been read. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: GuardedChild;
  readonly #file: string;
  readonly #echo: boolean;
  readonly #messages = new Mailbox<unknown>();
  readonly #lines = new Mailbox<string>(untakenLinesMax);
  readonly #replies = new Mailbox<PodMessage>();
  readonly #control = new Mailbox<string>();
  readonly #recent: string[] = [];
  #requests = 0;

  private constructor(child: GuardedChild, file: string, echo: boolean) {
    this.#child = child;
    this.#file = file;
    this.#echo = echo;
    const { stdout, stderr, stdio } = child.process;
    if (stdout !== null) this.#read(stdout, (line) => this.#lines.put(line));
    if (stderr !== null) this.#read(stderr);
    const control: unknown = stdio[controlFd];
    if (control instanceof Duplex) {
      control.on("error", () => undefined);
      createInterface({ input: control }).on("line", (line) => this.#control.put(line));
    }
    child.process.on("message", (message) => {
      if (!isPodMessage(message)) this.#messages.put(message);
      else this.#replies.put(message);
    });
    this.exited = new Promise((resolve) => {
      child.process.once("close", () => {
        const boxes = [this.#messages, this.#lines, this.#replies, this.#control];
        for (const box of boxes) box.close(() => this.#endedError());
        void child.exited.then(resolve);
      });
    });
  }

  /**
   * Starts `file`, a .ts or .js module, under the node that runs this process. Resolves when the process exists; use
   * {@link ready} to wait until the program can be used.
   */
  static async start(file: string | URL, options: PodOptions = {}): Promise<Pod> {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const preload = new URL(`./pod-preload.${extension}`, import.meta.url);
    const path = typeof file === "string" && !file.startsWith("file:") ? file : fileURLToPath(file);
    const child = await GuardedChild.start({
      command: process.execPath,
      args: [
        ...(options.nodeArgs ?? ["--conditions=@holdfast/source"]),
        `--import=${preload.href}`,
        path,
        ...(options.args ?? []),
      ],
      env: { ...process.env, ...options.env, [controlVariable]: String(controlFd) },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      output: "pipe",
      ipc: true,
    });
    return new Pod(child, pathToFileURL(path).pathname, options.echo === true);
  }

  /** The process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether the process has not ended. A paused one runs. */
  get isRunning(): boolean {
    return this.#child.exit === undefined;
  }

  /** The last 500 lines of its output and errors. */
  get output(): string {
    return this.#recent.join("\n");
  }

  /**
   * Waits until the program says that it can be used: it called `reportReady(value)`, or, with `line`, printed a line that matches.
   *
   * @returns the value, or the line.
   * @throws Error when the process ends before, or after `timeoutMs` (default 30 000).
   */
  async ready<T = unknown>(options: { readonly line?: RegExp; readonly timeoutMs?: number } = {}): Promise<T> {
    const { line, timeoutMs = defaultTimeoutMs } = options;
    let value: unknown;
    if (line === undefined) {
      const what = `${this.#file} calls reportReady()`;
      const message = await this.#replies.take((candidate) => candidate[podMark] === "ready", what, timeoutMs);
      value = "value" in message ? message.value : undefined;
    } else {
      value = await this.waitForLine(line, timeoutMs);
    }
    // What comes from another process has the type that both sides agreed on.
    return value as T;
  }

  /** Sends a message to the program's `process.on("message")`. */
  async send(message: unknown): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      // Everything that can be cloned can be sent; what cannot is reported by the callback.
      this.#child.process.send(message as object, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  /**
   * Asks the program, which answers with `servePod({ [name]: handler })`.
   *
   * @throws Error with the handler's message, when the process ends first, or after `timeoutMs` (default 30 000).
   */
  async request<T = unknown>(name: string, payload?: unknown, timeoutMs: number = defaultTimeoutMs): Promise<T> {
    this.#requests += 1;
    const id = this.#requests;
    if (!this.isRunning) throw this.#endedError();
    await this.send({ [podMark]: "request", id, name, payload } satisfies PodMessage);
    const what = `${this.#file} answers ${name}`;
    const reply = await this.#replies.take(
      (message) => message[podMark] === "reply" && message.id === id,
      what,
      timeoutMs,
    );
    if ("error" in reply) throw new Error(`${name} failed in ${this.#file}: ${reply.error}`);
    return ("value" in reply ? reply.value : undefined) as T;
  }

  /**
   * Takes the oldest message of the program (`process.send`) that `accepts` accepts, waiting for it when there is none. A message is
   * taken once.
   *
   * @throws Error when the process ends before, or after `timeoutMs` (default 30 000).
   */
  waitForMessage(
    accepts: (message: unknown) => boolean = () => true,
    timeoutMs: number = defaultTimeoutMs,
  ): Promise<unknown> {
    return this.#messages.take(accepts, `a message of ${this.#file}`, timeoutMs);
  }

  /** Takes the oldest line of standard output that matches, like {@link waitForMessage}; of lines that nobody takes, the last 10 000 are kept. */
  waitForLine(pattern: RegExp, timeoutMs: number = defaultTimeoutMs): Promise<string> {
    return this.#lines.take((line) => pattern.test(line), `${this.#file} prints a line like ${pattern}`, timeoutMs);
  }

  /** Takes the program's messages one by one until it ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void, undefined> {
    for (;;) {
      try {
        yield await this.#messages.take(() => true, "", Number.POSITIVE_INFINITY);
      } catch {
        return;
      }
    }
  }

  /** Freezes the process, and all it started, with SIGSTOP: nothing in it runs, its connections stay open. */
  pause(): void {
    this.#child.signalAll("SIGSTOP");
  }

  /** Continues a paused process. */
  resume(): void {
    this.#child.signalAll("SIGCONT");
  }

  /**
   * Stops the program as a kubelet does: SIGTERM, then, when it has not ended after `graceMs`, SIGKILL.
   *
   * @param graceMs the grace period in milliseconds. Default 30 000, as in Kubernetes.
   */
  async term(graceMs = 30_000): Promise<PodTermination> {
    const start = performance.now();
    this.#child.signal("SIGTERM");
    let graceful = true;
    const timer = setTimeout(() => {
      graceful = false;
      this.#child.signalAll("SIGKILL");
    }, graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return { ...exit, graceful, tookMs: performance.now() - start };
  }

  /** Kills the process, and all it started, with SIGKILL. */
  async kill(): Promise<ProcessExit> {
    this.#child.signalAll("SIGKILL");
    return this.exited;
  }

  /**
   * Blocks the program's event loop, as a long computation or a garbage collection does: timers, sockets and promises wait.
   *
   * @param ms how long, in milliseconds.
   * @returns when the loop stands still, not when it goes on.
   */
  async blockLoop(ms: number): Promise<void> {
    const control: unknown = this.#child.process.stdio[controlFd];
    if (!(control instanceof Duplex) || !this.isRunning) throw this.#endedError();
    control.write(`${ms}\n`);
    await this.#control.take(
      (line) => line === `blocking ${ms}`,
      `${this.#file} blocks its event loop`,
      defaultTimeoutMs,
    );
  }

  /** Kills the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #read(stream: Readable, each?: (line: string) => void): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => {
      if (this.#recent.push(line) > outputLinesMax) this.#recent.shift();
      if (this.#echo) process.stderr.write(`[${this.pid}] ${line}\n`);
      each?.(line);
    });
  }

  #endedError(): Error {
    const { code, signal } = this.#child.exit ?? { code: null, signal: null };
    const how = signal === null ? `with status ${code}` : `by ${signal}`;
    return new Error(`${this.#file} has ended ${how}. Its last output:\n${this.#recent.slice(-30).join("\n")}`);
  }
}
