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
const START_MAX_MS = 120_000;
const REPEAT_EVERY_MS = 50;

/** For tests that are not about answers of Redis that come late: a machine that stands still for seconds is no such answer. */
export const PATIENT: Readonly<Record<string, string>> = { REDIS_TIMEOUT_MS: "60000" };

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

/** Sends a request as a good client does: again under its key, until the answer is final. */
export async function insist(url: string, path: string, request: Request = {}): Promise<Answer> {
  const key = request.key ?? randomUUID();
  let answer: Answer | undefined;
  await pollUntil(
    `POST ${path} is answered`,
    async () => {
      answer = await send(url, "POST", path, { ...request, key });
      return answer.status < 500 && answer.body["type"] === undefined;
    },
    { timeoutMs: START_MAX_MS, intervalMs: REPEAT_EVERY_MS },
  );
  return answer as Answer;
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
    const pod = await Pod.start(PROGRAM, { env: { HOST: "127.0.0.1", PORT: "0", ...PATIENT, ...env } });
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
    const { status, body } = await insist(this.url, "/orders", { body: { amountCents: 1_999 } });
    if (status !== 201) throw new Error(`POST /orders answered ${status} ${JSON.stringify(body)}.`);
    return String(body["id"]);
  }

  /** Pays an order. */
  pay(id: string): Promise<Answer> {
    return insist(this.url, `/orders/${id}/payment`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pod.kill();
  }
}
