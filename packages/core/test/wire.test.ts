/** What is written to the socket, and when: on a client whose answers are in the test's hands. */
import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { ClientState } from "../src/client-state.ts";
import type { RedisLike } from "../src/index.ts";
import { notSent, Wire } from "../src/wire.ts";
import { peek } from "./test-script.ts";

/** A client that writes down what is asked of it, and answers when it is told to. */
class Client extends EventEmitter {
  status = "ready";
  readonly options = {};
  readonly log: string[] = [];
  readonly answers: PromiseWithResolvers<unknown>[] = [];
  readonly stream = {
    writable: true,
    cork: (): void => void this.log.push("cork"),
    uncork: (): void => void this.log.push("uncork"),
  };

  call(command: string, args: unknown[]): Promise<unknown> {
    if (args.includes("broken")) throw new Error("this client is broken");
    this.log.push(`${command} ${String(args.at(-1))}`);
    const answer = Promise.withResolvers<unknown>();
    this.answers.push(answer);
    return answer.promise;
  }
}

function wireOn(client: Client): { readonly heard: unknown[]; readonly send: (...tail: string[]) => void } {
  const redis = client as unknown as RedisLike;
  const wire = new Wire(redis, ClientState.of(redis));
  const heard: unknown[] = [];
  const send = (...tail: string[]): void =>
    wire.send({
      source: peek.source,
      tail,
      binary: false,
      onReply: (reply) => heard.push(reply),
      onError: (error) => heard.push(error),
    });
  return { heard, send };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the requests of one tick", () => {
  it("are written together and answered one by one, in whatever order their answers come", async () => {
    const client = new Client();
    const { heard, send } = wireOn(client);
    for (const name of ["a", "b", "c"]) send(name);
    expect(client.log).toEqual([]);
    await nextTurn();
    expect(client.log).toEqual(["cork", "evalsha a", "evalsha b", "evalsha c", "uncork"]);
    client.answers[1]?.resolve("to b");
    await nextTurn();
    expect(heard).toEqual(["to b"]);
  });

  it("do not wait for the end of the tick when one is many calls, nor when there are 16", () => {
    const client = new Client();
    const { send } = wireOn(client);
    send("a");
    send(...Array.from({ length: 17 }, () => "many"));
    expect(client.log).toEqual(["cork", "evalsha a", "evalsha many", "uncork"]);
    for (let index = 0; index < 15; index += 1) send("b");
    expect(client.log).toHaveLength(4);
    send("b");
    expect(client.log).toHaveLength(4 + 18);
  });

  it("hold nothing back when there is one", async () => {
    const client = new Client();
    const { send } = wireOn(client);
    send("a");
    await nextTurn();
    expect(client.log).toEqual(["evalsha a"]);
  });

  it("fail one by one, and release the socket, when the client throws", async () => {
    const client = new Client();
    const { heard, send } = wireOn(client);
    for (const name of ["a", "broken", "c"]) send(name);
    await nextTurn();
    expect(client.log).toEqual(["cork", "evalsha a", "evalsha c", "uncork"]);
    expect(heard).toEqual([new Error("this client is broken")]);
  });

  it("are told that they were not sent, never before send returns, when the client would queue them", async () => {
    const client = new Client();
    const { heard, send } = wireOn(client);
    client.status = "reconnecting";
    send(...Array.from({ length: 17 }, () => "many"));
    expect(heard).toEqual([]);
    await nextTurn();
    expect(heard).toEqual([notSent]);
    expect(client.log.filter((line) => line.startsWith("eval"))).toEqual([]);
  });
});
