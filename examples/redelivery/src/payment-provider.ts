/**
 * The payment provider: books a charge when it hears of it and answers a little later, as the real ones do. Like them it knows the
 * idempotency keys of its clients: the same key is booked once.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** Money that was taken from a customer. */
export interface Booking {
  readonly orderId: string;
  readonly amountCents: number;
}

const ANSWER_AFTER_MS = 150;

/** A provider on a free port of this machine. */
export class PaymentProvider implements AsyncDisposable {
  readonly bookings: Booking[] = [];
  /** Requests whose key had been booked before: nobody was charged again. */
  recognised = 0;
  private readonly server: Server;
  private readonly numbers = new Map<string, number>();
  /** Of each client: charges that are booked and not answered. */
  private readonly unanswered = new Map<string, number>();
  private readonly watchers = new Set<() => void>();

  private constructor() {
    this.server = createServer((request, response) => {
      this.serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<PaymentProvider> {
    const provider = new PaymentProvider();
    await new Promise<void>((resolve) => provider.server.listen(0, "127.0.0.1", resolve));
    return provider;
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === "string") throw new Error("The provider does not listen on a port.");
    return `http://127.0.0.1:${address.port}/charges`;
  }

  /** Resolves while `count` charges of this client are booked and it has not heard of them yet. */
  async whileUnanswered(client: string, count: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if ((this.unanswered.get(client) ?? 0) >= count) resolve();
    };
    const stop = (): void => reject(signal.reason as Error);
    this.watchers.add(look);
    signal.addEventListener("abort", stop);
    try {
      if (signal.aborted) stop();
      look();
      await promise;
    } finally {
      this.watchers.delete(look);
      signal.removeEventListener("abort", stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const booking = (await json(request)) as Booking;
    const key = String(request.headers["idempotency-key"]);
    const number = this.book(key, booking);
    const client = String(request.headers["user-agent"]);
    this.count(client, 1);
    await sleep(ANSWER_AFTER_MS);
    this.count(client, -1);
    response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ charge: `ch_${number}` }));
  }

  private book(key: string, booking: Booking): number {
    const known = this.numbers.get(key);
    if (known !== undefined) {
      this.recognised += 1;
      return known;
    }
    const number = this.bookings.push(booking);
    this.numbers.set(key, number);
    return number;
  }

  private count(client: string, change: 1 | -1): void {
    this.unanswered.set(client, (this.unanswered.get(client) ?? 0) + change);
    for (const look of this.watchers) look();
  }
}
