/** The one handler of the contract: what every server of the suite does under each path. */
import { setTimeout as delay } from "node:timers/promises";
import type { Attempt } from "../../src/index.ts";
import type { Gate } from "../fixture.ts";

/** What the handler of the contract is given. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly attempt: Attempt | undefined;
}

/** What it answers; the server turns it into the framework's own response. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | AsyncIterable<Buffer>;
}

const json = (status: number, value: unknown, headers: Answer["headers"] = []): Answer => ({
  status,
  headers: [["content-type", "application/json"], ...headers],
  body: Buffer.from(JSON.stringify(value)),
});

/** What the tests and the handler share. */
export interface Stage {
  /** The paths of all calls that had an effect, in order. */
  readonly effects: string[];
  readonly slow: Gate<string>;
  /** What `/bytes` answers to an empty body. */
  readonly bytes: Buffer;
}

const attemptOf = ({ attempt }: Call): Record<string, unknown> => ({
  number: attempt?.number,
  recovered: attempt?.recovered,
  key: attempt?.key,
  tenant: attempt?.tenant,
  downstreamKey: attempt?.downstreamKey,
});

async function* chunks(): AsyncGenerator<Buffer> {
  yield Buffer.from("one,");
  await delay(30);
  yield Buffer.from("two,");
  await delay(30);
  yield Buffer.from("three");
}

async function* brokenChunks(): AsyncGenerator<Buffer> {
  yield Buffer.from("one,");
  await delay(20);
  throw new Error("the source broke");
}

/** Handles a call on a stage. */
export function stageHandler({ effects, slow, bytes }: Stage): (call: Call) => Promise<Answer> {
  return async (call: Call): Promise<Answer> => {
    const { path, query, body } = call;
    effects.push(path);
    const first = effects.filter((effect) => effect === path).length === 1;
    switch (path) {
      case "/create":
        return json(201, { made: effects.length }, [
          ["location", "/things/1"],
          ["set-cookie", "session=secret"],
          ["x-internal", "yes"],
          ["x-shown", "yes"],
        ]);
      case "/bytes":
        return {
          status: 200,
          headers: [["content-type", "application/octet-stream"]],
          body: body.length > 0 ? body : bytes,
        };
      case "/nothing":
        return { status: 204, headers: [], body: Buffer.alloc(0) };
      case "/attempt":
        return json(200, attemptOf(call));
      case "/slow":
        return json(200, { said: await slow.handler() });
      case "/before":
        effects.pop();
        if (query.get("again") === null) throw Object.assign(new Error("not now"), { effect: "none" });
        return json(200, attemptOf(call));
      case "/after":
        if (first) throw new Error("after the effect");
        return json(200, attemptOf(call));
      case "/timeout":
        if (first) throw new DOMException("the provider did not answer", "TimeoutError");
        return json(200, attemptOf(call));
      case "/status":
        return json(Number(query.get("code")), { attempt: call.attempt?.number });
      case "/links":
        return json(200, {}, [
          ["link", "</a>; rel=a"],
          ["link", "</b>; rel=b"],
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ]);
      case "/empty":
        return { status: Number(query.get("code")), headers: [], body: Buffer.alloc(0) };
      case "/late-stream":
        await slow.handler();
        return { status: 200, headers: [["content-type", "text/plain"]], body: chunks() };
      case "/stream":
        return { status: 200, headers: [["content-type", "text/plain"]], body: chunks() };
      case "/broken":
        if (first) return { status: 200, headers: [["content-length", "10"]], body: brokenChunks() };
        return json(200, attemptOf(call));
      case "/big":
        return { status: 200, headers: [], body: Buffer.alloc(5_000, "x") };
      default:
        return json(200, { guarded: call.attempt !== undefined });
    }
  };
}
