/**
 * Holds a response of Node's http server back until its attempt is settled, and records it: Fastify and Express both write to it. Whatever is
 * held is then sent as it was written, or replaced by another answer.
 */
import type { OutgoingHttpHeader, ServerResponse } from "node:http";
import { systemClock } from "@holdfast/core";
import type { HeaderList, Produced, WholeResponse } from "./response.ts";

type Headers = Record<string, OutgoingHttpHeader | undefined> | OutgoingHttpHeader[];
type Done = (error?: Error | null) => void;

/** One held call of `write` or `end`. */
interface HeldCall {
  readonly chunk: Buffer;
  readonly done: Done | undefined;
}

const methods = ["writeHead", "write", "end", "flushHeaders"] as const;

/** The arguments of `write` and `end`: a chunk, its encoding and a callback, each of which may be left out. */
function readCall(args: readonly unknown[]): HeldCall {
  const done = args.find((argument) => typeof argument === "function") as Done | undefined;
  const [chunk, encoding] = args.filter((argument) => typeof argument !== "function");
  if (chunk === undefined || chunk === null) return { chunk: Buffer.alloc(0), done };
  if (typeof chunk === "string") {
    return { chunk: Buffer.from(chunk, typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8"), done };
  }
  return { chunk: Buffer.from(chunk as Uint8Array), done };
}

function setHeaders(response: ServerResponse, headers: Headers): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
    return;
  }
  const flat = headers.flat();
  for (let at = 0; at + 1 < flat.length; at += 2) response.appendHeader(String(flat[at]), String(flat[at + 1]));
}

function headersOf(response: ServerResponse): HeaderList {
  return Object.entries(response.getHeaders()).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return Array.isArray(value) ? value.map((each) => [name, each] as const) : [[name, String(value)] as const];
  });
}

/** Writes an answer of the guard's to a response on which nothing has been sent. */
export function writeWhole(
  response: ServerResponse,
  { status, headers, body }: WholeResponse,
  headOnly: boolean,
): void {
  response.statusCode = status;
  for (const [name, value] of headers) response.setHeader(name, value);
  const bodiless = status === 204 || status === 304;
  if (!headOnly && !bodiless) response.setHeader("content-length", body.length);
  response.end(headOnly || bodiless ? undefined : body);
}

/** A response that is held back. */
export class HeldResponse {
  /** Resolves when the handler has ended its response, or has begun a stream. */
  readonly produced: Promise<Produced>;
  readonly #response: ServerResponse;
  readonly #bytesMax: number;
  readonly #headersBefore: ReturnType<ServerResponse["getHeaders"]>;
  readonly #calls: HeldCall[] = [];
  readonly #resolve: (produced: Produced) => void;
  #length = 0;
  #ended = false;
  #settled = false;

  /** @param bytesMax a body that is longer counts as a stream */
  constructor(response: ServerResponse, bytesMax: number) {
    const { promise, resolve } = Promise.withResolvers<Produced>();
    this.produced = promise;
    this.#resolve = resolve;
    this.#response = response;
    this.#bytesMax = bytesMax;
    this.#headersBefore = { ...response.getHeaders() };
    Object.assign(response, {
      writeHead: (status: number, ...rest: unknown[]) => this.#writeHead(status, rest),
      write: (...args: unknown[]) => this.#write(readCall(args)),
      end: (...args: unknown[]) => this.#end(readCall(args)),
      flushHeaders: () => this.#settle(undefined),
    });
    response.once("close", this.#onClose);
  }

  /** Sends what is held, and lets everything else through. */
  send(): void {
    const response = this.#letThrough();
    const calls = this.#calls.splice(0);
    const last = this.#ended ? calls.pop() : undefined;
    for (const { chunk, done } of calls) response.write(chunk, done);
    if (last === undefined) {
      // Whoever pipes into it waits for a sign to go on.
      response.emit("drain");
      return;
    }
    const { chunk, done } = last;
    if (chunk.length === 0) response.end(done);
    else response.end(chunk, done);
  }

  /** Sends another answer instead of what is held, on the headers that were there before. */
  replace(answer: WholeResponse, headOnly: boolean): void {
    const response = this.#letThrough();
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    for (const [name, value] of Object.entries(this.#headersBefore))
      if (value !== undefined) response.setHeader(name, value);
    response.statusMessage = "";
    writeWhole(response, answer, headOnly);
  }

  #letThrough(): ServerResponse {
    const response = this.#response;
    response.off("close", this.#onClose);
    for (const name of [...methods, "writableEnded", "headersSent"]) Reflect.deleteProperty(response, name);
    return response;
  }

  /** A pipe gives up when the client goes, and never ends the response. */
  readonly #onClose = (): void => {
    if (this.#calls.length > 0) this.#settle(undefined);
  };

  #writeHead(status: number, rest: readonly unknown[]): ServerResponse {
    const response = this.#response;
    if (this.#ended) return response;
    response.statusCode = status;
    const [message] = rest;
    if (typeof message === "string") response.statusMessage = message;
    const headers = rest.find((argument) => typeof argument === "object" && argument !== null);
    if (headers !== undefined) setHeaders(response, headers as Headers);
    return response;
  }

  #write(call: HeldCall): boolean {
    if (this.#ended) return false;
    this.#calls.push(call);
    this.#length += call.chunk.length;
    const announced = Number(this.#response.getHeader("content-length") ?? Number.NaN);
    if (this.#length > this.#bytesMax) this.#settle(undefined);
    // What is written piece by piece in one turn of the event loop is a whole; what takes longer is a stream.
    else if (!(announced <= this.#bytesMax) && this.#calls.length === 1)
      systemClock.setTimer(() => this.#settle(undefined), 0);
    return !this.#settled;
  }

  #end(call: HeldCall): ServerResponse {
    const response = this.#response;
    if (this.#ended) return response;
    this.#ended = true;
    this.#calls.push(call);
    this.#length += call.chunk.length;
    // Frameworks ask these whether a response was made.
    for (const name of ["writableEnded", "headersSent"])
      Object.defineProperty(response, name, { value: true, configurable: true });
    this.#settle(this.#length > this.#bytesMax ? undefined : Buffer.concat(this.#calls.map(({ chunk }) => chunk)));
    return response;
  }

  #settle(body: Buffer | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    const { statusCode: status } = this.#response;
    this.#resolve({ status, headers: headersOf(this.#response), body });
  }
}

/** Aborts when the connection of a response closes before it was answered; for waiting, never for work. */
export function clientGone(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) controller.abort(new Error("the client has closed the connection"));
  });
  return controller.signal;
}
