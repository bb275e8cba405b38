/**
 * A TCP proxy between a client and a server that does to their conversation what networks do: delay it, swallow it, cut it, deliver
 * it twice. It understands Redis, so a fault can be aimed at one command.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort, loopback, releasePort } from "./loopback-port.ts";
import { pollUntil } from "./poll.ts";
import { ProxyConnection, type ProxyShared } from "./proxy-connection.ts";
import { type FaultCounts, noFaults } from "./proxy-counts.ts";
import type { LinkWeather } from "./proxy-link.ts";
import {
  type CommandMatch,
  type FaultRule,
  type HoldRule,
  ProxyRule,
  type RuleAction,
  type RuleOptions,
} from "./proxy-rule.ts";

/** Where the proxy connects to: a server of this package, or any address. */
export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

/** How the proxy behaves. */
export interface FaultProxyOptions {
  /** `redis` follows requests and replies; `tcp` passes bytes of any protocol, without the faults that match commands. Default `redis`. */
  readonly protocol?: "redis" | "tcp";
  /** The source of chance for jitter, such as `random(seed)`. Default `Math.random`. */
  readonly random?: { unit(): number };
}

/** A direction: `up` from client to server, `down` from server to client. */
export type ProxyDirection = "up" | "down" | "both";

/** Latency of each direction, in milliseconds. What is left out becomes 0. */
export interface ProxyLatency {
  readonly upMs?: number;
  readonly downMs?: number;
  /** Up to this much is added, at random, to each direction that has latency. The order of bytes is kept. */
  readonly jitterMs?: number;
}

const bindAttemptsMax = 10;

/** A proxy on a free loopback port. */
export class FaultProxy implements AsyncDisposable {
  readonly host: string = loopback;
  readonly port: number;
  readonly #target: ProxyTarget;
  readonly #server: Server;
  readonly #rules: ProxyRule[] = [];
  readonly #up: LinkWeather;
  readonly #down: LinkWeather;
  readonly #shared: ProxyShared;
  readonly #connections = new Set<ProxyConnection>();
  #refusal: "closed" | "reset" | undefined;
  readonly #witnessed: FaultCounts = noFaults();

  private constructor(server: Server, port: number, target: ProxyTarget, options: FaultProxyOptions) {
    const { protocol = "redis", random = { unit: () => Math.random() } } = options;
    this.#server = server;
    this.port = port;
    this.#target = target;
    this.#up = { latencyMs: 0, jitterMs: 0, blackhole: false, random };
    this.#down = { latencyMs: 0, jitterMs: 0, blackhole: false, random };
    this.#shared = { up: this.#up, down: this.#down, counts: this.#witnessed, rules: this.#rules, protocol };
    server.on("connection", (client) => this.#take(client));
  }

  /** Starts a proxy to `target`; nothing is connected before a client comes. */
  static async start(target: ProxyTarget, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    const { host, port: targetPort } = target;
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const port = await listenAnywhere(server);
    return new FaultProxy(server, port, { host, port: targetPort }, options);
  }

  /** `redis://127.0.0.1:port`, for clients. Without the credentials of the target. */
  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** How often each fault really hit something, so far. A copy. */
  get counts(): Readonly<FaultCounts> {
    return { ...this.#witnessed };
  }

  /** How many connections are open. */
  get openConnections(): number {
    return this.#connections.size;
  }

  /** Delays everything sent from now on. */
  latency(latency: ProxyLatency): void {
    const { upMs = 0, downMs = 0, jitterMs = 0 } = latency;
    Object.assign(this.#up, { latencyMs: upMs, jitterMs: upMs > 0 ? jitterMs : 0 });
    Object.assign(this.#down, { latencyMs: downMs, jitterMs: downMs > 0 ? jitterMs : 0 });
  }

  /** Lets nothing through in this direction: no data, no end of a connection. Nobody is told. Ends with {@link heal}. */
  blackhole(direction: ProxyDirection = "both"): void {
    if (direction !== "down") this.#up.blackhole = true;
    if (direction !== "up") this.#down.blackhole = true;
  }

  /**
   * Ends latency, blackhole and refusal. What a blackhole held is delivered now, late; with `{ held: "drop" }` it is thrown away and
   * its connections are reset, as after a partition that outlasted TCP's patience.
   */
  async heal(options: { readonly held?: "deliver" | "drop" } = {}): Promise<void> {
    if (options.held === "drop") for (const connection of this.#connections) connection.drop();
    this.latency({});
    this.#up.blackhole = false;
    this.#down.blackhole = false;
    for (const connection of this.#connections) connection.flush();
    await this.accept();
  }

  /** Cuts every open connection with RST. Returns how many. */
  reset(): number {
    const cut = [...this.#connections];
    for (const connection of cut) connection.destroy();
    this.#witnessed.reset += cut.length;
    return cut.length;
  }

  /**
   * Takes no new connections; open ones go on. Ends with {@link accept} or {@link heal}.
   *
   * @param options `closed` (default): nothing listens, so that clients get ECONNREFUSED. `reset`: a connection is taken and cut at once,
   * and counted.
   */
  async refuse(options: { readonly how?: "closed" | "reset" } = {}): Promise<void> {
    await this.accept();
    this.#refusal = options.how ?? "closed";
    // The callback waits for open connections; listening ends at once.
    if (this.#refusal === "closed") this.#server.close();
  }

  /** Takes new connections again. Waits for its port when another process has it, as one that looks for a free one does for an instant. */
  async accept(): Promise<void> {
    if (this.#refusal === "closed")
      await pollUntil(`port ${this.port} is free again`, async () => {
        if (!this.#server.listening) await listen(this.#server, this.port);
        return true;
      });
    this.#refusal = undefined;
  }

  /**
   * Loses the reply of a matching command: the server gets the request and executes it, its reply is thrown away, and the client's
   * connection is reset. Replies before it still arrive.
   */
  swallowReply(match: CommandMatch, options: RuleOptions = {}): FaultRule {
    return this.#rule(match, { kind: "swallow" }, options);
  }

  /**
   * Delivers a matching command twice in a row, as a client does that resends after a lost reply. The client gets one reply: the
   * first by default, the second with `{ keep: "last" }`.
   */
  repeat(match: CommandMatch, options: RuleOptions & { readonly keep?: "first" | "last" } = {}): FaultRule {
    return this.#rule(match, { kind: "repeat", keep: options.keep ?? "first" }, options);
  }

  /**
   * Holds a matching request before it reaches the server, or its reply before it reaches the client, until `release()`. Everything
   * behind it on that connection waits, too, also the end of the connection: a client that gave up has its request executed later.
   */
  hold(what: "request" | "reply", match: CommandMatch, options: RuleOptions = {}): HoldRule {
    return this.#rule(match, { kind: "hold", what }, options);
  }

  /** Closes the port and every connection. Safe to repeat. */
  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    releasePort(this.port);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #rule(match: CommandMatch, action: RuleAction, options: RuleOptions): ProxyRule {
    if (this.#shared.protocol === "tcp") throw new TypeError("A proxy with protocol tcp does not know commands.");
    const rule = new ProxyRule(match, action, options);
    this.#rules.push(rule);
    return rule;
  }

  #take(client: Socket): void {
    client.on("error", () => undefined);
    if (this.#refusal === "reset") {
      this.#witnessed.refused += 1;
      client.resetAndDestroy();
      return;
    }
    this.#witnessed.connections += 1;
    // A server that is down shows to the client as a reset connection, by way of the error of this socket.
    const server = connect({ host: this.#target.host, port: this.#target.port, allowHalfOpen: true, noDelay: true });
    const connection: ProxyConnection = new ProxyConnection(client, server, this.#shared, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
  }
}

async function listenAnywhere(server: Server): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      await listen(server, port);
      return port;
    } catch (error) {
      if (attempt === bindAttemptsMax) throw error;
    }
  }
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen({ port, host: loopback, exclusive: true });
  await once(server, "listening");
}
