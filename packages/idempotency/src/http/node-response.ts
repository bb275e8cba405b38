/**
 * Holds a response of Node's http server back until its attempt is settled, and records it: Fastify and Express both write to it. Whatever is
 * held is then sent as it was written, or replaced by another answer.
 */
import type { ServerResponse } from "node:http";
import { systemClock } from "@holdfast/core";
import { headersOf, setHeaders, writeWhole } from "./node-message.ts";
import type { Headers } from "./node-message.ts";
import type { Produced, WholeResponse } from "./response.ts";

type Done = (error?: Error | null) => void;

/** One held call of `write` or `end`. */
interface HeldCall {
  readonly chunk: Buffer;
  /** Whom to tell that it is written; nobody, or told already, when undefined. */
  readonly done: Done | undefined;
}

/** Calls back as Node does, never within the call. */
function callLater(done: Done | undefined): void {
  if (done !== undefined) process.nextTick(done);
}

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

/** The methods that are ours while a response is held, as they were before: Node's, or those of whoever came earlier. */
type Methods = Readonly<Record<"writeHead" | "write" | "end" | "flushHeaders" | "destroy" | "emit", Method>>;
type Method = (...args: unknown[]) => unknown;

function methodsOf(response: ServerResponse): Methods {
  const method = (name: keyof Methods): Method => {
    const found = Reflect.get(response, name) as Method;
    return (...args) => Reflect.apply(found, response, args);
  };
  return {
    writeHead: method("writeHead"),
    write: method("write"),
    end: method("end"),
    flushHeaders: method("flushHeaders"),
    destroy: method("destroy"),
    emit: method("emit"),
  };
}

/** What throws once the head was sent. HTTP/2 does not have all of them. */
const headMethods = ["writeHead", "setHeader", "setHeaders", "appendHeader", "removeHeader"] as const;

/** What frameworks and pipes ask about a response: while it is held the answer is not the connection's. */
const states = ["writableEnded", "headersSent", "destroyed", "_closed"] as const;

/**
 * A response that is held back. To its handler it looks open for as long as it is held, also when the client has gone: a pipe would give up
 * else, and the attempt would never be known to have ended.
 */
export class HeldResponse {
  /**
   * Resolves when the handler has ended its response, or has begun a stream. Rejects when it has destroyed it: with its error, or an abort.
   */
  readonly produced: Promise<Produced>;
  readonly #response: ServerResponse;
  readonly #bytesMax: number;
  readonly #headersBefore: ReturnType<ServerResponse["getHeaders"]>;
  readonly #originals: Methods;
  readonly #ours: Methods;
  /** Own properties that were there before. */
  readonly #before = new Map<string, PropertyDescriptor | undefined>();
  readonly #calls: HeldCall[] = [];
  readonly #resolve: (produced: Produced) => void;
  readonly #reject: (error: unknown) => void;
  #length = 0;
  #ended = false;
  #settled = false;
  #open = false;
  #clientGone = false;
  #destroyed: { readonly error: Error | undefined } | undefined;

  /** @param bytesMax a body that is longer counts as a stream */
  constructor(response: ServerResponse, bytesMax: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Produced>();
    this.produced = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#response = response;
    this.#bytesMax = bytesMax;
    this.#headersBefore = { ...response.getHeaders() };
    this.#originals = methodsOf(response);
    this.#ours = this.#methods(this.#originals);
    for (const name of [...Object.keys(this.#ours), ...states])
      this.#before.set(name, Object.getOwnPropertyDescriptor(response, name));
    Object.assign(response, this.#ours);
    const ended = (): boolean => this.#ended;
    const never = (): boolean => false;
    const answers = { writableEnded: ended, headersSent: ended, destroyed: never, _closed: never };
    for (const [name, get] of Object.entries(answers)) {
      const set = (): void => undefined;
      Object.defineProperty(response, name, { get, set, configurable: true, enumerable: true });
    }
    // Gone before it was held.
    if (this.#before.get("destroyed")?.value === true) this.#clientGone = true;
  }

  /** Sends what is held, and lets everything else through. */
  send(): void {
    const response = this.#response;
    const { write, end, destroy } = this.#originals;
    this.#letThrough();
    const calls = this.#calls.splice(0);
    const last = this.#ended ? calls.pop() : undefined;
    for (const { chunk, done } of calls) write(chunk, done);
    if (last !== undefined && last.chunk.length === 0) end(last.done);
    else if (last !== undefined) end(last.chunk, last.done);
    else if (this.#destroyed !== undefined) destroy(this.#destroyed.error);
    // Whoever pipes into it waits for a sign to go on, or to give up.
    else if (!this.#clientGone) response.emit("drain");
    this.#tellGone();
  }

  /** Sends another answer instead of what is held, on the headers that were there before. The handler goes on as if it had sent its own. */
  replace(answer: WholeResponse, headOnly: boolean): void {
    const response = this.#response;
    this.#letThrough();
    for (const { done } of this.#calls.splice(0)) callLater(done);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    for (const [name, value] of Object.entries(this.#headersBefore))
      if (value !== undefined) response.setHeader(name, value);
    response.statusMessage = "";
    writeWhole(response, answer, headOnly, this.#originals.end);
    // A handler that is still writing would end the process with a write after the end, or with headers after the head.
    const drop =
      <Answer>(value: Answer) =>
      (...args: unknown[]): Answer => {
        callLater(readCall(args).done);
        return value;
      };
    Object.assign(response, { write: drop(true), end: drop(response) });
    for (const name of headMethods) {
      const method = Reflect.get(response, name) as Method | undefined;
      if (method === undefined) continue;
      // Until the head is out it is whoever compresses our answer that calls them.
      const late: Method = (...args) => (response.headersSent ? response : Reflect.apply(method, response, args));
      Object.assign(response, { [name]: late });
    }
    this.#tellGone();
  }

  /** Ours while it is held. Others may have wrapped them since, and call them also when it is not held any more. */
  #methods(originals: Methods): Methods {
    const held =
      (name: keyof Methods, act: Method): Method =>
      (...args) =>
        this.#open ? originals[name](...args) : act(...args);
    return {
      writeHead: held("writeHead", (status, ...rest) => this.#writeHead(status as number, rest)),
      write: held("write", (...args) => this.#write(readCall(args))),
      end: held("end", (...args) => this.#end(readCall(args))),
      flushHeaders: held("flushHeaders", () => this.#settle(undefined)),
      destroy: held("destroy", (error) => this.#destroy(error as Error | undefined)),
      emit: held("emit", (...args) => {
        if (args[0] !== "close") return originals.emit(...args);
        this.#clientGone = true;
        return false;
      }),
    };
  }

  #letThrough(): void {
    this.#open = true;
    const response = this.#response as unknown as Record<string, unknown>;
    const restore = (name: string): void => {
      const before = this.#before.get(name);
      if (before === undefined) Reflect.deleteProperty(response, name);
      else Object.defineProperty(response, name, before);
    };
    for (const [name, ours] of Object.entries(this.#ours)) if (response[name] === ours) restore(name);
    for (const name of states) restore(name);
    if (!this.#clientGone) return;
    for (const name of ["destroyed", "_closed"]) if (this.#before.get(name)?.writable === true) response[name] = true;
  }

  /** What was kept from the handler: it writes to a closed connection now. */
  #tellGone(): void {
    if (this.#clientGone) this.#response.emit("close");
  }

  #destroy(error: Error | undefined): ServerResponse {
    this.#destroyed ??= { error };
    if (!this.#settled) {
      this.#settled = true;
      const aborted = Object.assign(new Error("the handler has destroyed its response"), { code: "ABORT_ERR" });
      this.#reject(error ?? aborted);
    }
    return this.#response;
  }

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
    this.#length += call.chunk.length;
    const whole = this.#announced <= this.#bytesMax && this.#length <= this.#bytesMax && !this.#settled;
    // A handler that waits for each write before the next would never come to the end that is waited for here.
    this.#calls.push(whole ? { chunk: call.chunk, done: undefined } : call);
    if (whole) callLater(call.done);
    else if (this.#length > this.#bytesMax) this.#settle(undefined);
    // What is written piece by piece in one turn of the event loop is a whole; what takes longer is a stream.
    else if (this.#calls.length === 1) systemClock.setTimer(() => this.#settle(undefined), 0);
    return !this.#settled;
  }

  #end(call: HeldCall): ServerResponse {
    const response = this.#response;
    if (this.#ended) return response;
    this.#ended = true;
    this.#calls.push(call);
    this.#length += call.chunk.length;
    this.#dropWhatWasBegun();
    this.#settle(this.#length > this.#bytesMax ? undefined : Buffer.concat(this.#calls.map(({ chunk }) => chunk)));
    return response;
  }

  /**
   * An error in the middle of a body is answered anew, since nothing was sent yet, with a length of its own. What was written before is no
   * part of that answer. More than the head says is never sent: the rest would be taken for the connection's next answer.
   */
  #dropWhatWasBegun(): void {
    let tooMany = this.#length - this.#announced;
    if (!(tooMany > 0)) return;
    const kept = this.#calls.findIndex(({ chunk }) => {
      if (tooMany === 0) return true;
      tooMany -= chunk.length;
      return false;
    });
    if (kept === -1) this.#response.setHeader("content-length", this.#length);
    else {
      for (const { chunk, done } of this.#calls.splice(0, kept)) {
        this.#length -= chunk.length;
        callLater(done);
      }
    }
  }

  /** What the head says of the body's length; NaN when it says nothing. */
  get #announced(): number {
    return Number(this.#response.getHeader("content-length") ?? Number.NaN);
  }

  #settle(body: Buffer | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    const { statusCode: status } = this.#response;
    this.#resolve({ status, headers: headersOf(this.#response), body });
  }
}
