/** What a call does with what it hears, and when: on a client whose answers are in the test's hands. */
import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { Connection, defineScript } from "../src/index.ts";
import type { RedisLike } from "../src/index.ts";
import { failure, patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

/** Tells the time at once, and answers scripts when it is told to. */
class Client extends EventEmitter {
  status = "ready";
  readonly options = {};
  readonly stream = { writable: true };
  readonly sent: unknown[][] = [];
  readonly answers: ((reply: unknown) => void)[] = [];

  call(command: string, args: unknown[]): Promise<unknown> {
    if (command === "time") return Promise.resolve(["1800000000", "0"]);
    this.sent.push(args);
    return new Promise((resolve) => this.answers.push(resolve));
  }

  callBuffer(command: string, args: unknown[]): Promise<unknown> {
    return this.call(command, args);
  }

  duplicate(): Client {
    return new Client();
  }
}

const keys = { count: "{k}count", record: "{k}record" };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The bound that a request carries. */
function notAfterUs(args: readonly unknown[] | undefined): number {
  return Number(args?.[apply.source.args.indexOf("notAfterUs") + 2 + apply.source.keys.length]);
}

describe("a script that says that it did nothing", () => {
  const { source } = apply;
  const refusing = defineScript(source, (reply) => reply, { nothingDone: "refused" });
  const plain = defineScript(source, (reply) => reply);

  it("K1 is believed, unless the client may have sent the request twice: the first one may have been executed", async () => {
    const client = new Client();
    const connection = Connection.of(client as unknown as RedisLike);
    const call = (script: typeof plain): Promise<unknown> =>
      connection.run<typeof source, unknown>(
        script,
        keys,
        { operationId: "1" },
        { operation: "add", operationId: "1", timeoutMs: patientMs },
      );
    const answer = async (place: number, isLost: boolean): Promise<void> => {
      await turn();
      if (isLost) client.emit("close");
      client.answers[place]?.(["refused", "1"]);
    };
    const believed = call(refusing);
    await answer(0, false);
    expect(await believed).toEqual(["refused", "1"]);
    const doubted = failure(call(refusing));
    await answer(1, true);
    expect(await doubted).toMatchObject({ name: "OutcomeUnknownError", operationId: "1" });
    const another = call(plain);
    await answer(2, true);
    expect(await another).toEqual(["refused", "1"]);
  });
});

describe("a call whose caller has given up", () => {
  it("K1 is not sent again for an answer that comes late, and takes no time from it", async () => {
    const client = new Client();
    const connection = Connection.of(client as unknown as RedisLike);
    const call = (timeoutMs: number): Promise<unknown> =>
      connection.run(apply, keys, { operationId: "1" }, { operation: "add", operationId: "1", timeoutMs });
    const given = await failure(call(20));
    expect(given).toMatchObject({ name: "OutcomeUnknownError" });
    const hourAgo = 1_800_000_000 - 3_600;
    client.answers[0]?.(["too-late", `${hourAgo}000000`]);
    await turn();
    expect(client.sent).toHaveLength(1);
    const next = call(patientMs);
    await turn();
    expect(notAfterUs(client.sent[1])).toBeGreaterThan(1_800_000_000_000_000);
    client.answers[1]?.(["applied", "1"]);
    await next.catch(() => undefined);
  });
});
