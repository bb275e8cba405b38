/**
 * Owns the way to the payment provider: a limit on the calls in flight and a breaker around it, a deadline over each of them. What it is
 * asked, it is asked under a key, so it may be asked again. A call that timed out may have had its effect: the error says so, the
 * idempotency key of the request stays closed until its lease is over, and who repeats it gets the provider's first answer.
 *
 * What is expected of a provider: a charge or payout under a key that it knows is not made again; a void takes a charge back, and also
 * keeps one from being made later under that key.
 */
import { Bulkhead } from "@holdfast/bulkhead";
import { cancellableFetch, scope } from "@holdfast/scope";
import type { ProviderConfig } from "./config.ts";

/** What became of a charge. `voided`: nothing is charged under its key, since its order timed out before; no word of who has paid. */
export type Charged = { readonly kind: "charged" | "declined" | "voided" };

/** The provider could not be reached, or did not do what it was asked; for a charge it is not known whether. */
export class ProviderFailedError extends Error {
  override readonly name = "ProviderFailedError";
  /** For Fastify. */
  readonly statusCode = 502;
}

/** The provider has not seen the call: there was no permit for it in time, the breaker is open, or its request was cancelled before. */
export class ProviderNotAskedError extends Error {
  override readonly name = "ProviderNotAskedError";
  /** For the idempotency key of the request: it is free for another attempt at once. */
  readonly effect = "none";
  /** For Fastify. */
  readonly statusCode = 503;
}

const OPEN_MS = 5_000;
/** For the end of a call whose time is over. */
const GRACE_MS = 100;

/** The payment provider, as one replica calls it. */
export class PaymentProvider {
  private readonly url: string;
  private readonly timeoutMs: number;
  private readonly bulkhead: Bulkhead;

  constructor({ url, concurrencyMax, queueMax, timeoutMs }: ProviderConfig) {
    this.url = url;
    this.timeoutMs = timeoutMs;
    this.bulkhead = new Bulkhead("payment-provider", {
      concurrencyMax,
      queueMax,
      timeoutMs,
      breaker: { failurePercent: 50, openMs: OPEN_MS },
    });
  }

  /**
   * Takes the customer's money, once per key.
   *
   * @throws ProviderNotAskedError: nothing was sent; ProviderFailedError, CallTimeoutError, ScopeTimeoutError: it may have charged.
   */
  async charge(key: string, orderId: string, amountCents: number): Promise<Charged> {
    const { status } = await this.call("POST", "/charges", key, { orderId, amountCents });
    if (status === 402) return { kind: "declined" };
    return { kind: status === 409 ? "voided" : "charged" };
  }

  /** Gives the money back, or sees to it that it is never taken. @throws ProviderFailedError also when it refuses; else as `charge` */
  async void(key: string): Promise<void> {
    const { status } = await this.call("DELETE", `/charges/${key}`, key);
    if (status >= 300)
      throw new ProviderFailedError(`the payment provider did not void a charge: it answered ${status}`);
  }

  /**
   * Asks for so much of what was earned, once per key.
   *
   * @returns the provider's number of the payout.
   * @throws ProviderFailedError also when it refuses; else as `charge`
   */
  async payOut(key: string, amountCents: number): Promise<string> {
    const { status, body } = await this.call("POST", "/payouts", key, { amountCents });
    const { payout } = body;
    if (status >= 300 || typeof payout !== "string")
      throw new ProviderFailedError(`the payment provider did not pay out: it answered ${status}`);
    return payout;
  }

  /** Refuses new calls and waits for those in flight, at most this long. */
  async stop(graceMs: number): Promise<void> {
    await this.bulkhead.drain({ graceMs: Math.floor(graceMs) });
  }

  private async call(method: string, path: string, key: string, body?: object): Promise<Answer> {
    const { timeoutMs } = this;
    // The bulkhead says that it has not dispatched a call, a scope that ends meanwhile cannot know. What counts is the fact.
    let asked = false;
    try {
      return await scope({ name: `provider ${method}`, timeoutMs: timeoutMs + GRACE_MS, graceMs: GRACE_MS }, (s) =>
        s.fork("call", ({ signal }) =>
          this.bulkhead.run({ signal }, (call) => {
            asked = true;
            return this.send(method, path, key, body, call.signal);
          }),
        ),
      );
    } catch (error) {
      if (asked) throw error;
      throw new ProviderNotAskedError("the payment provider was not asked", { cause: error });
    }
  }

  private async send(
    method: string,
    path: string,
    key: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    let answer: Answer;
    try {
      const response = await cancellableFetch(this.url + path, {
        method,
        signal,
        // A POST that is sent on comes as a GET, and the page that it gets is no answer to a charge.
        redirect: "manual",
        headers: { "content-type": "application/json", "idempotency-key": key },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      answer = { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
    } catch (error) {
      signal.throwIfAborted();
      throw new ProviderFailedError("the payment provider did not answer", { cause: error });
    }
    // Refusals that belong to the business are answers, anything else is a failure, which the breaker counts.
    if (answer.status < 300 || answer.status === 402 || answer.status === 409) return answer;
    throw new ProviderFailedError(`the payment provider answered ${answer.status}`);
  }
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}
