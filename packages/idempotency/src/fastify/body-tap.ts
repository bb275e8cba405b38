/**
 * A request's body on its way to the parser, whose bytes are kept for the fingerprint. It reads only when it is read: a parser that leaves the
 * body to the handler finds all of it in the raw request.
 */
import { finished, Readable } from "node:stream";

/** Passes a body on and keeps its bytes. */
export class BodyTap extends Readable {
  readonly #source: Readable & { readonly receivedEncodedLength?: number };
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #reading = false;
  #ended = false;

  constructor(source: Readable) {
    super();
    this.#source = source;
    // A client that goes while nobody reads is no reason to end the process.
    this.on("error", () => undefined);
  }

  /** Fastify compares it with Content-Length. */
  get receivedEncodedLength(): number {
    return this.#source.receivedEncodedLength ?? this.#length;
  }

  /** The whole body, or undefined when it was not read to its end. */
  get bytes(): Buffer | undefined {
    return this.#ended ? Buffer.concat(this.#chunks) : undefined;
  }

  /** Begins when somebody begins to read. */
  override _read(): void {
    if (this.#reading) {
      this.#source.resume();
      return;
    }
    this.#reading = true;
    this.#source.on("data", (chunk: Buffer | string) => {
      this.#take(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    });
    finished(this.#source, { writable: false }, (error) => {
      if (error !== undefined && error !== null) {
        this.destroy(error);
        return;
      }
      this.#ended = true;
      this.push(null);
    });
  }

  #take(chunk: Buffer): void {
    this.#length += chunk.length;
    this.#chunks.push(chunk);
    if (!this.push(chunk)) this.#source.pause();
  }
}
