/**
 * The requests that tests send to a service, wherever it runs.
 */
import { randomUUID } from "node:crypto";
import { pollUntil } from "@holdfast/testkit";
import { WAIT } from "./wait.ts";

/** What a service answered. */
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

const REPEAT_EVERY_MS = 50;

/** A service, and what its customers do. */
export abstract class Service {
  abstract readonly url: string;

  /** Sends one request. */
  async send(method: string, path: string, request: Request = {}): Promise<Answer> {
    const { body, key = method === "POST" ? randomUUID() : null } = request;
    const response = await fetch(this.url + path, {
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

  /** Posts a request as a good client does: again under its key, until the answer is final. */
  async insist(path: string, request: Request = {}): Promise<Answer> {
    const key = request.key ?? randomUUID();
    let answer: Answer | undefined;
    await pollUntil(
      `POST ${path} is answered`,
      async () => {
        answer = await this.send("POST", path, { ...request, key });
        return answer.status < 500 && answer.body["type"] === undefined;
      },
      { ...WAIT, intervalMs: REPEAT_EVERY_MS },
    );
    return answer as Answer;
  }

  /** Places an order and returns its id. */
  async place(): Promise<string> {
    const { status, body } = await this.insist("/orders", { body: { amountCents: 1_999 } });
    if (status !== 201) throw new Error(`POST /orders answered ${status} ${JSON.stringify(body)}.`);
    return String(body["id"]);
  }

  /** Pays an order. */
  pay(id: string): Promise<Answer> {
    return this.insist(`/orders/${id}/payment`);
  }
}
