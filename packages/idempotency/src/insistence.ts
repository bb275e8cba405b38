/**
 * How a call is repeated whose answer was lost: under the same owner, which gets the first answer (K1), before anybody hears "unknown" (I9).
 */
import { backoffMs, isTransient, NewerFormatError, RedisUnavailableError, saysNoEffect, sleep } from "@holdfast/core";
import type { Backoff } from "@holdfast/core";
import type { Alone } from "./batches.ts";
import type { KeyPlace } from "./keys.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import type { NewerFormat } from "./scripts.ts";

/** The newest record format that this version reads. */
const format = 1;

/** Pauses between repetitions. */
const backoff: Backoff = { baseMs: 25, delayMaxMs: 500, jitter: 0.5 };

/** What a call is worth. */
export interface Insistence {
  /** How often it is sent at most. */
  readonly sendsMax: number;
  /** Whether it is repeated where the store could not be reached. */
  readonly unreachable: boolean;
}

/** Each call's. An outcome is worth more patience than a question, and who asks for a key hears at once that there is no store. */
export const insistenceOf: Readonly<Record<"claim" | "end" | "finish", Insistence>> = {
  claim: { sendsMax: 2, unreachable: false },
  end: { sendsMax: 2, unreachable: true },
  finish: { sendsMax: 4, unreachable: true },
};

/** @throws NewerFormatError */
export function readable<Reply extends { readonly kind: string }>(
  place: KeyPlace,
  reply: Reply | NewerFormat,
): Exclude<Reply, NewerFormat> {
  if (reply.kind === "newer-format") {
    throw new NewerFormatError(place.resource, (reply as NewerFormat).version, format);
  }
  return reply as Exclude<Reply, NewerFormat>;
}

/**
 * Asks until there is an answer.
 * @param send asks, alone when it must
 * @param untilMs from when on it is not asked again, in monotonic milliseconds
 */
export async function insist<Reply extends { readonly kind: string }>(
  place: KeyPlace,
  send: (alone: boolean) => Promise<Reply | Alone>,
  { sendsMax, unreachable }: Insistence,
  { clock, random }: ResolvedIdempotencyOptions,
  untilMs: number = Infinity,
): Promise<Exclude<Reply, NewerFormat>> {
  let unanswered: unknown;
  for (let sent = 1; ; sent += 1) {
    try {
      let reply = await send(false);
      if (reply.kind === "alone") reply = await send(true);
      return readable<Reply>(place, reply as Reply);
    } catch (error) {
      // That nothing was done is said of the last request alone.
      const failure = saysNoEffect(error) ? (unanswered ?? error) : error;
      const final = !isTransient(error) || (!unreachable && error instanceof RedisUnavailableError);
      if (sent >= sendsMax || final) throw failure;
      const pauseMs = backoffMs(backoff, sent, random);
      if (clock.monotonicMs() + pauseMs >= untilMs) throw failure;
      if (!saysNoEffect(error)) unanswered = error;
      await sleep(clock, pauseMs);
    }
  }
}
