/**
 * A payment provider for tests, as payment-provider.ts expects one: it knows the keys of charges and payouts, and a void keeps a charge from
 * being made. Tests decide when it answers, and look at what it has booked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** A key, and what became of it. */
interface Charge {
  readonly orderId: string | null;
  /** How often money was taken under it. */
  taken: number;
  voided: boolean;
}

/** What a request carries. */
interface Asked {
  readonly orderId?: string;
  readonly amountCents?: number;
}

/** The page that is there for people. */
const welcome = { status: 200, answer: { welcome: true } };

/** A provider on a free port of this machine. */
export class TestProvider implements AsyncDisposable {
  readonly charges: Map<string, Charge> = new Map<string, Charge>();
  /** Keys of payouts, one for each request. */
  readonly payouts: string[] = [];
  /** What was paid out, by key. */
  readonly paidOutCents: Map<string, number> = new Map<string, number>();
  /** Whether it knows keys again. A provider that does not charges each time. */
  knowsKeys = true;
  /** Waited for before it answers, after it has booked; gets the number of the request. */
  beforeAnswer: (request: number) => Promise<void> = () => Promise.resolve();
  /** Declines charges. */
  declines = false;
  /** Waited for before a payout is answered; gets the path. Tests tell replicas apart by what stands in front of it. */
  beforePayout: (path: string) => Promise<void> = () => Promise.resolve();
  /** Refuses payouts. */
  refusesPayouts = false;
  /** Has moved to another place, and books nothing here. */
  hasMoved = false;
  /** Refuses to give money back. */
  refusesVoids = false;
  requests = 0;
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      this.serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<TestProvider> {
    const provider = new TestProvider();
    await new Promise<void>((resolve) => provider.server.listen(0, "127.0.0.1", resolve));
    return provider;
  }

  get url(): string {
    const address = this.server.address();
    return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
  }

  /** How often money was taken for an order and not given back. */
  takenFor(orderId: string): number {
    const charges = [...this.charges.values()].filter((charge) => charge.orderId === orderId && !charge.voided);
    return charges.reduce((sum, { taken }) => sum + taken, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}") as Asked;
    this.requests += 1;
    const number = this.requests;
    if (this.hasMoved && request.method === "POST") {
      response.writeHead(302, { location: "/welcome" }).end();
      return;
    }
    const { status, answer } = request.method === "GET" ? welcome : await this.answer(request, body);
    await this.beforeAnswer(number);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  private async answer(
    { method, url = "", headers }: IncomingMessage,
    body: Asked,
  ): Promise<{ status: number; answer: object | undefined }> {
    const key = String(headers["idempotency-key"]);
    if (url.endsWith("/payouts")) {
      await this.beforePayout(url);
      if (this.refusesPayouts) return { status: 409, answer: { error: "not now" } };
      this.payouts.push(key);
      if (!this.paidOutCents.has(key)) this.paidOutCents.set(key, body.amountCents ?? 0);
      return { status: 201, answer: { payout: `po_${[...this.paidOutCents.keys()].indexOf(key) + 1}` } };
    }
    if (method === "DELETE") {
      if (this.refusesVoids) return { status: 409, answer: { error: "settled already" } };
      const charge = this.charges.get(key) ?? { orderId: null, taken: 0, voided: true };
      charge.voided = true;
      this.charges.set(key, charge);
      return { status: 204, answer: undefined };
    }
    if (this.declines) return { status: 402, answer: { error: "declined" } };
    const known = this.charges.get(key);
    if (known?.voided === true) return { status: 409, answer: { error: "voided" } };
    const charge = known ?? { orderId: body.orderId ?? null, taken: 0, voided: false };
    if (known === undefined || !this.knowsKeys) charge.taken += 1;
    this.charges.set(key, charge);
    return { status: 201, answer: { charge: key } };
  }
}
