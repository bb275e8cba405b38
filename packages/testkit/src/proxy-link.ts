/**
 * One direction of one proxied connection: an ordered queue of bytes on their way. A TCP stream keeps its order and loses nothing in
 * the middle, so latency, a blackhole and a held frame all delay everything behind them, the end of the stream included.
 */
import type { Socket } from "node:net";
import type { FaultCounts } from "./proxy-counts.ts";

/** What is known to every link of one proxy in one direction; changed by the proxy while links read it. */
export interface LinkWeather {
  latencyMs: number;
  jitterMs: number;
  blackhole: boolean;
  readonly random: { unit(): number };
}

type Item =
  | { readonly kind: "bytes"; readonly bytes: Buffer; readonly dueMs: number }
  | { readonly kind: "end" | "reset"; readonly dueMs: number }
  | { readonly kind: "gate"; readonly dueMs: number; open: boolean };

/** Sends what it is given to `target`, when the weather lets it. */
export class ProxyLink {
  readonly #queue: Item[] = [];
  readonly #target: Socket;
  readonly #weather: LinkWeather;
  readonly #counts: FaultCounts;
  readonly #onReset: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lastDueMs = 0;

  constructor(target: Socket, weather: LinkWeather, counts: FaultCounts, onReset: () => void) {
    this.#target = target;
    this.#weather = weather;
    this.#counts = counts;
    this.#onReset = onReset;
  }

  /** Queues bytes. */
  send(bytes: Buffer): void {
    if (this.#weather.latencyMs + this.#weather.jitterMs > 0) this.#counts.delayed += 1;
    if (this.#weather.blackhole) this.#counts.blackholed += 1;
    this.#add({ kind: "bytes", bytes, dueMs: this.#due() });
  }

  /** Queues the end of the stream. */
  end(): void {
    this.#add({ kind: "end", dueMs: this.#due() });
  }

  /** Queues a reset of the whole connection. */
  reset(): void {
    this.#add({ kind: "reset", dueMs: this.#due() });
  }

  /** Holds back everything queued from now on until the returned function is called. */
  gate(): () => void {
    const gate: Item = { kind: "gate", dueMs: 0, open: false };
    this.#add(gate);
    return () => {
      gate.open = true;
      this.flush();
    };
  }

  /** Throws away what is held; the stream is then of no use any more. Returns whether there was anything. */
  drop(): boolean {
    const bytes = this.#queue.filter((item) => item.kind === "bytes").length;
    this.#counts.dropped += bytes;
    this.#queue.length = 0;
    return bytes > 0;
  }

  /** Delivers what is due; called when the weather changes. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#weather.blackhole) return;
    for (let item = this.#queue[0]; item !== undefined; item = this.#queue[0]) {
      if (item.kind === "gate" && !item.open) return;
      const waitMs = item.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flush(), Math.ceil(waitMs));
        return;
      }
      this.#queue.shift();
      this.#deliver(item);
    }
  }

  /** Forgets everything. */
  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #add(item: Item): void {
    this.#queue.push(item);
    if (this.#timer === undefined) this.flush();
  }

  #deliver(item: Item): void {
    if (item.kind === "reset") {
      // A reset overtakes what this process has not written yet, so that goes first.
      if (this.#target.destroyed) this.#onReset();
      else this.#target.write(Buffer.alloc(0), () => this.#onReset());
    } else if (item.kind === "end" && !this.#target.destroyed) this.#target.end();
    else if (item.kind === "bytes" && !this.#target.destroyed) {
      // Frames of one packet leave as one packet.
      if (this.#target.writableCorked === 0) {
        this.#target.cork();
        process.nextTick(() => this.#target.uncork());
      }
      this.#target.write(item.bytes);
    }
  }

  #due(): number {
    const { latencyMs, jitterMs, random } = this.#weather;
    if (latencyMs + jitterMs === 0) return this.#lastDueMs;
    this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + latencyMs + jitterMs * random.unit());
    return this.#lastDueMs;
  }
}
