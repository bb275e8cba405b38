/**
 * What a caller of the provider is told: above all, whether the provider was asked.
 */
import { openScope, ScopeShutdownError } from "@holdfast/scope";
import { pollUntil } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PaymentProvider, ProviderFailedError, ProviderNotAskedError } from "../src/payment-provider.ts";
import { TestProvider } from "./provider.ts";
import { WAIT } from "./wait.ts";

let provider: TestProvider;
let answers: PromiseWithResolvers<void>;
beforeEach(async () => {
  provider = await TestProvider.start();
  answers = Promise.withResolvers();
  provider.beforeAnswer = () => answers.promise;
});
afterEach(() => provider[Symbol.asyncDispose]());

/** What a charge fails with, or its result. */
function failureOf(charge: Promise<unknown>): Promise<unknown> {
  return charge.catch((error: unknown) => error);
}

/** A provider with one call in flight. */
async function busy(timeoutMs: number): Promise<{ payments: PaymentProvider; first: Promise<unknown> }> {
  for (;;) {
    const payments = new PaymentProvider({ url: provider.url, concurrencyMax: 1, queueMax: 10, timeoutMs });
    const first = failureOf(payments.charge("key-1", "order-1", 100));
    const arrived = pollUntil("the first call is with the provider", () => provider.requests === 1, WAIT);
    arrived.catch(() => undefined);
    await Promise.race([first, arrived]);
    // On a machine that stands still its time is over before it is sent: then another one is made.
    if (provider.requests === 1) return { payments, first };
  }
}

/** The whole process stands still. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe("a charge that waits for a permit", () => {
  it("was not sent when every deadline passes at once, in a process that stood still", async () => {
    const { payments, first } = await busy(1_000);
    const second = failureOf(payments.charge("key-2", "order-2", 100));
    standStill(1_500);
    expect(await second).toMatchObject({ name: "ProviderNotAskedError", effect: "none", statusCode: 503 });
    // The one that was sent. The bulkhead gives its answer a turn to arrive, in which the scope around it may end.
    expect(await first).toMatchObject({ name: expect.stringMatching(/TimeoutError$/u) as string, effect: "possible" });
    expect(provider.requests).toBe(1);
  });

  it("was not sent when the scope of its request ends first", async () => {
    const { payments, first } = await busy(60_000);
    const request = openScope({ name: "request", timeoutMs: 60_000 });
    const second = Promise.withResolvers<unknown>();
    const charge = request.fork("charge", () =>
      failureOf(payments.charge("key-2", "order-2", 100)).then(second.resolve),
    );
    await Promise.all([expect(charge).rejects.toBeInstanceOf(ScopeShutdownError), request.close()]);
    expect(await second.promise).toBeInstanceOf(ProviderNotAskedError);
    answers.resolve();
    expect(await first).toEqual({ kind: "charged" });
    expect(provider.requests).toBe(1);
  });

  it("was not sent when the replica stops", async () => {
    const { payments, first } = await busy(60_000);
    const second = failureOf(payments.charge("key-2", "order-2", 100));
    await payments.stop(0);
    expect(await second).toBeInstanceOf(ProviderNotAskedError);
    expect(await failureOf(payments.charge("key-3", "order-3", 100))).toBeInstanceOf(ProviderNotAskedError);
    expect(await first).toMatchObject({ name: "DrainedError", effect: "possible" });
    expect(provider.requests).toBe(1);
  });
});

describe("a charge that is answered with a redirect", () => {
  it("was not made: the page that it leads to is no answer to it", async () => {
    answers.resolve();
    provider.hasMoved = true;
    const payments = new PaymentProvider({ url: provider.url, concurrencyMax: 1, queueMax: 10, timeoutMs: 60_000 });
    await expect(payments.charge("key-1", "order-1", 100)).rejects.toBeInstanceOf(ProviderFailedError);
    expect(provider.requests).toBe(1);
  });
});

describe("a void", () => {
  function payments(): PaymentProvider {
    return new PaymentProvider({ url: provider.url, concurrencyMax: 1, queueMax: 10, timeoutMs: 60_000 });
  }
  beforeEach(() => answers.resolve());

  it("is done with an answer that has no body", async () => {
    await expect(payments().void("key-1")).resolves.toBeUndefined();
    await expect(payments().charge("key-1", "order-1", 100)).resolves.toEqual({ kind: "voided" });
  });

  it("is not done when the provider refuses it: it has the customer's money", async () => {
    provider.refusesVoids = true;
    await expect(payments().void("key-1")).rejects.toBeInstanceOf(ProviderFailedError);
  });
});
