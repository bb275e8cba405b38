/**
 * Owns how a customer's request finds a replica: round robin, and on to the next one when it is certain that the first did nothing.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The request was sent, and no answer says what became of it: it may have been done, so it is not sent again. */
export class AnswerLostError extends Error {
  override readonly name = "AnswerLostError";
}

const ATTEMPTS_MAX = 20;
const PAUSE_MS = 25;
/** A replica that was killed or paused blocks the key of its request for as long as its lease. */
const REPEATS_MAX = 160;
const REPEAT_AFTER_MS = 250;
/** Of a replica that was killed nothing is heard in less: its connections break. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Requests to whatever replicas there are at the moment. */
export class ServiceClient {
  /** Requests that had to go to another replica. */
  retries = 0;
  private readonly endpoints: () => readonly string[];
  private readonly knowsKeys: boolean;
  private turn = 0;

  /**
   * @param endpoints the base URLs of the replicas that get traffic now.
   * @param options `knowsKeys`: whether the service does what is asked twice under one key once.
   */
  constructor(endpoints: () => readonly string[], { knowsKeys = true }: { readonly knowsKeys?: boolean } = {}) {
    this.endpoints = endpoints;
    this.knowsKeys = knowsKeys;
  }

  /**
   * Sends one request. What a service that knows keys asks to be repeated is repeated, under the same key; one that does not may have done
   * what it could not answer, and would do it again.
   *
   * @throws AnswerLostError when the connection broke, no answer came in time, or it says nothing; Error when no replica took it.
   */
  async post(path: string, body?: object): Promise<Answer> {
    // One for all replicas that are asked, so that none of them does what another one has done.
    const key = randomUUID();
    let refusals = 0;
    let repeats = 0;
    while (refusals < ATTEMPTS_MAX) {
      const endpoint = this.next();
      const answer = endpoint === undefined ? null : await postOnce(endpoint + path, key, body);
      if (answer === null) {
        refusals += 1;
        this.retries += 1;
        await sleep(PAUSE_MS);
      } else if (answer.status === 500 && !this.knowsKeys) {
        throw new AnswerLostError(`POST ${path}: the service could not say what it has done`);
      } else if (isToBeRepeated(answer) && repeats < REPEATS_MAX) {
        repeats += 1;
        await sleep(REPEAT_AFTER_MS);
      } else return answer;
    }
    throw new Error(`No replica took POST ${path}, after ${ATTEMPTS_MAX} attempts.`);
  }

  private next(): string | undefined {
    const endpoints = this.endpoints();
    this.turn += 1;
    return endpoints[this.turn % endpoints.length];
  }
}

/** `null` when the replica surely did nothing: it did not listen, or it said that it takes no requests. */
async function postOnce(url: string, key: string, body: object | undefined): Promise<Answer | null> {
  try {
    const response = await fetch(url, {
      method: "POST",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      headers: {
        "idempotency-key": key,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return response.status === 503 ? null : { status: response.status, body: text === "" ? null : JSON.parse(text) };
  } catch (error) {
    if (isRefused(error)) return null;
    throw new AnswerLostError(`POST ${url}: the answer was lost`, { cause: error });
  }
}

/** Another attempt under the key is under way, or it is not known what became of it, or the service says that it could not answer. */
function isToBeRepeated({ status, body }: Answer): boolean {
  if (status === 500) return true;
  const type = typeof body === "object" && body !== null && "type" in body ? String(body.type) : "";
  return type.endsWith("#in-progress") || type.endsWith("#outcome-unknown");
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
