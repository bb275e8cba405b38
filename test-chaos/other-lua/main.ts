/**
 * The front of a redis-server whose scripts run in Lua 5.4: it has the port of the configuration, hands every command to the real server
 * behind it as it came, and runs EVAL and EVALSHA itself. It ends when the server does.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { startOtherLua } from "./lua.ts";
import { RespReader } from "@holdfast/testkit";
import { chunkOf, requestOf, wordsOf } from "./protocol.ts";

const [configFile = "", socketPath = ""] = process.argv.slice(2);
const port = Number(/^port\s+(\d+)/mu.exec(await readFile(configFile, "utf8"))?.[1]);
/** Those after which a connection hears what nobody asked for. */
const listening = new Set(["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"]);
const serverPid = process.ppid;

async function reach(): Promise<Socket> {
  for (;;) {
    // Nobody is there any more.
    if (process.ppid !== serverPid) process.exit();
    const socket = connect(socketPath);
    const met = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    if (met) return socket.on("error", () => undefined);
    await delay(5);
  }
}

/** A connection to the real server on which one command is under way at a time. */
class Behind {
  readonly socket: Socket;
  readonly #reader = new RespReader();
  #answer: ((reply: Buffer) => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", this.onData);
  }

  readonly onData = (chunk: Buffer): void => {
    for (const reply of this.#reader.push(chunk)) this.#answer?.(reply.bytes);
  };

  ask(command: Buffer): Promise<Buffer> {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    this.#answer = resolve;
    this.socket.write(command);
    return promise;
  }
}

const scripts = new Map<string, string>();
const forScripts = new Behind(await reach());
forScripts.socket.on("close", () => process.exit());
const lua = await startOtherLua(async (words) => {
  const command = words.split(" ").map((word) => Buffer.from(word, "hex"));
  return chunkOf(await forScripts.ask(requestOf(command)));
});

function evaluate(name: string, words: readonly Buffer[]): Promise<Buffer> {
  const [, program = Buffer.alloc(0), count = Buffer.from("0")] = words;
  const source = name === "EVAL" ? program.toString("latin1") : scripts.get(program.toString("latin1").toLowerCase());
  if (source === undefined) return Promise.resolve(Buffer.from("-NOSCRIPT No matching script. Please use EVAL.\r\n"));
  scripts.set(createHash("sha1").update(source, "latin1").digest("hex"), source);
  const argsAt = 3 + Number(count.toString());
  return lua.run(source, words.slice(3, argsAt), words.slice(argsAt)).then((reply) => Buffer.from(reply, "hex"));
}

/** One client of the front, which has a connection of its own to the server behind it. */
class Served {
  readonly #client: Socket;
  readonly #behind: Behind;
  readonly #reader = new RespReader();
  readonly #waiting: Buffer[] = [];
  /** Between MULTI and EXEC: what is to be executed then. */
  #together: Buffer[] | undefined;
  #busy = false;
  #isRaw = false;

  constructor(client: Socket, behind: Behind) {
    this.#client = client;
    this.#behind = behind;
    client.on("data", (chunk: Buffer) => {
      this.#waiting.push(...this.#reader.push(chunk).map(({ bytes }) => bytes));
      void this.#work();
    });
    client.on("close", () => behind.socket.destroy());
    behind.socket.on("close", () => client.destroy());
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (listening.has(nameOf(next))) this.#pipe();
      if (this.#isRaw) this.#behind.socket.write(next);
      else this.#client.write(await this.#answer(next));
    }
    this.#busy = false;
  }

  async #answer(request: Buffer): Promise<Buffer> {
    const name = nameOf(request);
    if (name === "MULTI") {
      this.#together = [];
      return Buffer.from("+OK\r\n");
    }
    if (this.#together !== undefined && name !== "EXEC") {
      this.#together.push(request);
      return Buffer.from("+QUEUED\r\n");
    }
    if (name === "EXEC") {
      const together = this.#together ?? [];
      this.#together = undefined;
      const replies: Buffer[] = [Buffer.from(`*${together.length}\r\n`)];
      for (const each of together) replies.push(await this.#answer(each));
      return Buffer.concat(replies);
    }
    if (name === "EVAL" || name === "EVALSHA") return evaluate(name, wordsOf(request));
    if (name === "SCRIPT") scripts.clear();
    return this.#behind.ask(request);
  }

  /** From now on the client hears what nobody asked for. */
  #pipe(): void {
    if (this.#isRaw) return;
    this.#isRaw = true;
    this.#behind.socket.off("data", this.#behind.onData);
    this.#behind.socket.on("data", (chunk: Buffer) => this.#client.write(chunk));
  }
}

function nameOf(request: Buffer): string {
  return String(wordsOf(request)[0]).toUpperCase();
}

const front = createServer((client) => {
  client.setNoDelay(true).on("error", () => undefined);
  client.pause();
  void reach().then((socket) => {
    void new Served(client, new Behind(socket));
    client.resume();
  });
});
front.listen(port, "127.0.0.1");
