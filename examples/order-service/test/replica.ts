/**
 * One replica of the service as a real process, and the requests that tests send to it.
 */
import { randomUUID } from "node:crypto";
import { Pod, pollUntil } from "@holdfast/testkit";

/** What a replica answered. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  /** Whether it is what was answered to an earlier request with the same key. */
  readonly replayed: boolean;
}

/** What a request carries besides its path. */
export interface Request {
  /** A string is sent as it is, an object as JSON. */
  readonly body?: object | string | undefined;
  /** Default another one for each request; null for none. */
  readonly key?: string | null | undefined;
}

const PROGRAM = new URL("../src/main.ts", import.meta.url);
/** It loads a few hundred modules, on a machine that may be busy with something else. */
const START_MAX_MS = 45_000;

/** Sends one request. */
export async function send(url: string, method: string, path: string, request: Request = {}): Promise<Answer> {
  const { body, key = method === "POST" ? randomUUID() : null } = request;
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(key === null ? {} : { "idempotency-key": key }),
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
    replayed: response.headers.get("idempotency-replayed") === "true",
  };
}

/** A process that was started and answers its probes. */
export class Replica implements AsyncDisposable {
  readonly pod: Pod;
  readonly url: string;

  private constructor(pod: Pod, url: string) {
    this.pod = pod;
    this.url = url;
  }

  /** Resolves when it listens; {@link ready} waits for more. */
  static async start(env: Readonly<Record<string, string>>): Promise<Replica> {
    const pod = await Pod.start(PROGRAM, { env: { HOST: "127.0.0.1", PORT: "0", ...env } });
    const line = await pod.waitForLine(/listening at/, START_MAX_MS);
    return new Replica(pod, /http:\/\/[^"]*/.exec(line)?.[0] ?? "");
  }

  /** Resolves with this when /readyz says 200. */
  async ready(): Promise<this> {
    await pollUntil("the replica is ready", async () => (await this.send("GET", "/readyz")).status === 200, {
      timeoutMs: START_MAX_MS,
    });
    return this;
  }

  send(method: string, path: string, request?: Request): Promise<Answer> {
    return send(this.url, method, path, request);
  }

  /** Places an order and returns its id. */
  async place(): Promise<string> {
    const { body } = await this.send("POST", "/orders", { body: { amountCents: 1_999 } });
    return String(body["id"]);
  }

  /** Pays an order, as a good client does: repeats the request under its key until the answer is final. */
  async pay(id: string): Promise<Answer> {
    const key = randomUUID();
    let answer: Answer | undefined;
    await pollUntil(
      `the payment of ${id} is answered`,
      async () => {
        answer = await this.send("POST", `/orders/${id}/payment`, { key });
        return answer.status < 500 && answer.body["type"] === undefined;
      },
      { timeoutMs: START_MAX_MS, intervalMs: 50 },
    );
    return answer as Answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pod.kill();
  }
}
