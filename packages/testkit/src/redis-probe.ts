/**
 * A Redis client of a few lines, one command at a time over its own socket: what this package needs to look after servers without
 * bringing a client library along.
 */
import { connect, type Socket } from "node:net";
import { encodeCommand, RespError, RespReader, type RespValue } from "./resp-reader.ts";

/** Where a server listens. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** So long that only a server which is really stuck is given up: a starved machine makes everybody wait for some seconds. */
const answerTimeoutMs = 30_000;

/** One connection; commands are answered in order. */
export class RedisProbe {
  readonly #socket: Socket;
  readonly #reader = new RespReader();
  readonly #waiting: { resolve(value: RespValue): void; reject(error: Error): void }[] = [];
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      for (const frame of this.#reader.push(chunk)) {
        const waiter = this.#waiting.shift();
        if (frame.value instanceof RespError) waiter?.reject(frame.value);
        else waiter?.resolve(frame.value);
      }
    });
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("The connection to Redis closed.")));
  }

  /**
   * Connects, and authenticates when the address has a password.
   *
   * @param timeoutMs the longest time without an answer before the connection is given up. Default 30 000.
   * @throws Error when nothing listens there, or the password is refused.
   */
  static async open(address: RedisAddress, timeoutMs: number = answerTimeoutMs): Promise<RedisProbe> {
    const socket = connect({ host: address.host, port: address.port });
    const probe = new RedisProbe(socket);
    socket.setTimeout(timeoutMs, () => {
      // A connection may be idle for as long as nothing is asked.
      if (!socket.connecting && probe.#waiting.length === 0) return;
      socket.destroy(new Error(`No answer from ${address.host}:${address.port} in ${timeoutMs} ms.`));
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    if (address.password !== undefined) {
      const user = address.username === undefined ? [] : [address.username];
      try {
        await probe.call("AUTH", ...user, address.password);
      } catch (error) {
        probe.close();
        throw error;
      }
    }
    return probe;
  }

  /**
   * Sends one command.
   *
   * @throws RespError for an error reply, Error when the connection broke.
   */
  call(...args: readonly (string | number)[]): Promise<RespValue> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encodeCommand(args));
    });
  }

  /** Closes the connection; commands that wait are rejected. */
  close(): void {
    this.#socket.destroy();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#ended);
  }
}

/** Connects, sends one command, and closes. */
export async function callRedis(address: RedisAddress, ...args: readonly (string | number)[]): Promise<RespValue> {
  const probe = await RedisProbe.open(address);
  try {
    return await probe.call(...args);
  } finally {
    probe.close();
  }
}
