/**
 * One client's connection through a FaultProxy: follows the Redis protocol in both directions, so that it knows which reply belongs
 * to which request, however the bytes were cut into packets.
 */
import type { Socket } from "node:net";
import type { FaultCounts } from "./proxy-counts.ts";
import { type LinkWeather, ProxyLink } from "./proxy-link.ts";
import type { ProxyRule } from "./proxy-rule.ts";
import { type RespFrame, RespReader } from "./resp-reader.ts";

/** What happens to the reply that is awaited at this place of the stream. */
interface Expected {
  readonly fate: "pass" | "swallow" | "discard" | "hold";
  readonly rule?: ProxyRule;
}

/** What a connection shares with its proxy. */
export interface ProxyShared {
  readonly up: LinkWeather;
  readonly down: LinkWeather;
  readonly counts: FaultCounts;
  readonly rules: readonly ProxyRule[];
  readonly protocol: "redis" | "tcp";
}

/** Their replies are messages outside the order of requests. */
const subscribing = new Set(["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]);
const messageKinds = new Set([
  "message",
  "pmessage",
  "smessage",
  ...[...subscribing].map((name) => name.toLowerCase()),
]);
/** After these, replies no longer answer requests one by one. */
const opaqueCommands = new Set(["MONITOR", "SYNC", "PSYNC"]);

const passing: Expected = { fate: "pass" };

/** A pair of sockets and the two links between them. */
export class ProxyConnection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #shared: ProxyShared;
  readonly #up: ProxyLink;
  readonly #down: ProxyLink;
  readonly #requests = new RespReader();
  readonly #replies = new RespReader();
  readonly #expected: Expected[] = [];
  #subscribed = false;
  #opaque: boolean;
  /** Set once a swallowed reply has decided that this connection ends: nothing behind it reaches the client. */
  #doomed = false;

  constructor(client: Socket, server: Socket, shared: ProxyShared, onClose: () => void) {
    this.#client = client;
    this.#server = server;
    this.#shared = shared;
    this.#opaque = shared.protocol === "tcp";
    this.#up = new ProxyLink(server, shared.up, shared.counts, () => this.destroy());
    this.#down = new ProxyLink(client, shared.down, shared.counts, () => this.destroy());
    client.on("data", (chunk: Buffer) => this.#fromClient(chunk));
    server.on("data", (chunk: Buffer) => this.#fromServer(chunk));
    client.on("end", () => this.#up.end());
    server.on("end", () => {
      if (!this.#doomed) this.#down.end();
    });
    // A reset travels like everything else: behind what was sent before it, and not through a blackhole.
    client.on("error", () => this.#up.reset());
    server.on("error", () => this.#down.reset());
    let open = 2;
    const closed = (): void => {
      open -= 1;
      if (open === 0) onClose();
    };
    client.once("close", closed);
    server.once("close", closed);
  }

  /** Sends RST to both sides. */
  destroy(): void {
    this.#up.close();
    this.#down.close();
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  /** Delivers what the weather now lets through. */
  flush(): void {
    this.#up.flush();
    this.#down.flush();
  }

  /** Throws away what is held, in which case the connection is reset: a stream with a gap is no stream. */
  drop(): void {
    const droppedUp = this.#up.drop();
    const droppedDown = this.#down.drop();
    if (droppedUp || droppedDown) this.destroy();
  }

  #fromClient(chunk: Buffer): void {
    if (this.#opaque) {
      this.#up.send(chunk);
      return;
    }
    for (const frame of this.#requests.push(chunk)) this.#request(frame);
    if (this.#isOpaque()) this.#up.send(this.#requests.takePending());
  }

  #request(frame: RespFrame): void {
    const command = Array.isArray(frame.value) ? frame.value.map(String) : [];
    const name = command[0]?.toUpperCase() ?? "";
    if (opaqueCommands.has(name) || (name === "CLIENT" && command[1]?.toUpperCase() === "REPLY")) this.#opaque = true;
    if (subscribing.has(name)) this.#subscribed = true;
    // An empty array or line is no request: the server does not answer it.
    if (this.#opaque || subscribing.has(name) || command.length === 0) {
      this.#up.send(frame.bytes);
      return;
    }
    const rule = this.#shared.rules.find((candidate) => candidate.claims(command));
    switch (rule?.action.kind) {
      case undefined:
        this.#expected.push(passing);
        break;
      case "swallow":
        this.#expected.push({ fate: "swallow", rule });
        break;
      case "repeat": {
        const extra: Expected = { fate: "discard", rule };
        this.#expected.push(...(rule.action.keep === "first" ? [passing, extra] : [extra, passing]));
        this.#up.send(frame.bytes);
        break;
      }
      case "hold":
        if (rule.action.what === "request") this.#hold(this.#up, rule);
        this.#expected.push(rule.action.what === "request" ? passing : { fate: "hold", rule });
        break;
    }
    this.#up.send(frame.bytes);
  }

  #fromServer(chunk: Buffer): void {
    if (this.#doomed) return;
    if (this.#opaque && this.#expected.length === 0) {
      this.#down.send(Buffer.concat([this.#replies.takePending(), chunk]));
      return;
    }
    for (const frame of this.#replies.push(chunk)) {
      if (this.#doomed) return;
      this.#reply(frame);
    }
    if (this.#isOpaque() && this.#expected.length === 0) this.#down.send(this.#replies.takePending());
  }

  #reply(frame: RespFrame): void {
    const expected = this.#isMessage(frame) ? passing : (this.#expected.shift() ?? passing);
    switch (expected.fate) {
      case "swallow":
        this.#doomed = true;
        this.#shared.counts.swallowed += 1;
        expected.rule?.witness();
        this.#down.reset();
        return;
      case "discard":
        this.#shared.counts.repeated += 1;
        expected.rule?.witness();
        return;
      case "hold":
        if (expected.rule !== undefined) this.#hold(this.#down, expected.rule);
        break;
      case "pass":
        break;
    }
    this.#down.send(frame.bytes);
  }

  #hold(link: ProxyLink, rule: ProxyRule): void {
    this.#shared.counts.held += 1;
    rule.holds(link.gate());
  }

  #isMessage(frame: RespFrame): boolean {
    if (frame.kind === ">") return true;
    if (!this.#subscribed || frame.kind !== "*" || !Array.isArray(frame.value)) return false;
    return messageKinds.has(String(frame.value[0]));
  }

  // A method, since the compiler does not see that a request changes the field.
  #isOpaque(): boolean {
    return this.#opaque;
  }
}
