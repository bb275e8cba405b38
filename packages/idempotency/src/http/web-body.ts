/**
 * Takes the body of a web `Response`. One that is complete when the handler returns is a whole; one that is not is a stream, which nobody may
 * wait for, unless its length is announced and small enough to be kept.
 */
import { systemClock } from "@holdfast/core";
import type { Produced } from "./response.ts";

/** What became of a response. */
export interface TakenResponse {
  /** For the guard. */
  readonly produced: Produced;
  /** For the client: the same status, headers and body. */
  readonly response: Response;
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** Statuses that have no body, not even an empty one. */
const bodiless = new Set([101, 103, 204, 205, 304]);

function headersOf(response: Response): [string, string][] {
  return [...response.headers];
}

/** Resolves to undefined when nothing is there in this turn of the event loop. A body that is complete gives all it has before. */
async function readNow(reading: ReturnType<Reader["read"]>): Promise<Awaited<ReturnType<Reader["read"]>> | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = systemClock.setTimer(() => resolve(undefined), 0);
  try {
    return await Promise.race([reading, promise]);
  } finally {
    systemClock.clearTimer(timer);
  }
}

function restOf(
  chunks: Uint8Array[],
  reader: Reader,
  reading: ReturnType<Reader["read"]> | undefined,
): ReadableStream<Uint8Array> {
  let pending = reading;
  return new ReadableStream({
    async pull(controller) {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        controller.enqueue(chunk);
        return;
      }
      const { done, value } = await (pending ?? reader.read());
      pending = undefined;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** Tells the source of a body that nobody reads it any more. Nobody waits for that, nor hears that it failed. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => undefined);
}

/**
 * @param response is used up
 * @param bytesMax a body that is longer is handed on as a stream
 */
export async function takeResponse(response: Response, bytesMax: number): Promise<TakenResponse> {
  const { status, statusText, headers, body } = response;
  const init = { status, statusText, headers };
  const whole = (bytes: Uint8Array<ArrayBuffer>): TakenResponse => ({
    produced: { status, headers: headersOf(response), body: bytes },
    response: new Response(bodiless.has(status) || body === null ? null : bytes, init),
  });
  if (body === null) return whole(new Uint8Array());
  const announced = Number(headers.get("content-length") ?? Number.NaN);
  const reader = body.getReader() as Reader;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const reading = reader.read();
    const result = announced <= bytesMax ? await reading : await readNow(reading);
    if (result === undefined || length > bytesMax) {
      if (result?.done === false) chunks.push(result.value);
      const rest = restOf(chunks, reader, result === undefined ? reading : undefined);
      return {
        produced: { status, headers: headersOf(response), body: undefined },
        response: new Response(rest, init),
      };
    }
    if (result.done) return whole(Buffer.concat(chunks));
    chunks.push(result.value);
    length += result.value.length;
  }
}
