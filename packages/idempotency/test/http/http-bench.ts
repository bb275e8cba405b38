/** What the tests of the contract work with: a server of the framework, a client, and the stage of its one handler. */
import { Agent } from "node:http";
import { afterEach, beforeEach, expect } from "vitest";
import type { Idempotency, IdempotencyOptions } from "../../src/index.ts";
import type { HttpOptions } from "../../src/http/index.ts";
import { gate, longLeaseMs, useBench } from "../fixture.ts";
import type { Bench, Gate } from "../fixture.ts";
import { openRequest, openStream } from "./client.ts";
import type { Protocol, Reply, RequestSettings, Sent } from "./client.ts";
import { stageHandler } from "./stage.ts";
import type { Answer, Call } from "./stage.ts";

/** Options of the guard that do not depend on the framework's request. */
export type ContractOptions = Omit<HttpOptions<never>, "tenant" | "applies" | "fingerprint"> & {
  readonly fingerprint?: () => unknown;
};

/** A server on loopback. */
export interface RunningServer {
  readonly port: number;
  /** Default HTTP/1.1. */
  readonly protocol?: Protocol;
  close(): Promise<void>;
}

/**
 * Starts a server whose every route is guarded and answered by `handler`. The tenant is the header `x-tenant`; paths that begin with
 * `/open` are not guarded.
 */
export type StartServer = (
  idempotency: Idempotency,
  options: ContractOptions,
  handler: (call: Call) => Promise<Answer>,
) => Promise<RunningServer>;

/** The bench of one adapter's suite. Its server and its stage are the current test's. */
export interface HttpBench {
  readonly bench: Bench;
  /** The paths of all calls that had an effect, in order. */
  readonly effects: string[];
  /** What `/slow` waits for. */
  readonly slow: Gate<string>;
  /** What `/bytes` answers. */
  readonly bytes: Buffer;
  /** Starts the server with keys of the test's own. */
  listen(options?: ContractOptions, settings?: IdempotencyOptions): Promise<Idempotency>;
  /** Starts the server on an instance of the test's own. */
  serve(idempotency: Idempotency, options?: ContractOptions): Promise<void>;
  close(): Promise<void>;
  open(path: string, key?: string | string[] | null, settings?: RequestSettings): Sent;
  send(path: string, key?: string | string[] | null, settings?: RequestSettings): Promise<Reply>;
}

/** Makes the bench; its servers are closed after each test. */
export function useHttpBench(start: StartServer): HttpBench {
  const bench = useBench();
  const bytes = Buffer.from(Array.from({ length: 700 }, (_, index) => (index * 7) % 256));
  let effects: string[] = [];
  let slow: Gate<string> = gate();
  let server: RunningServer | undefined;
  let agent: Agent;

  beforeEach(() => {
    effects = [];
    slow = gate();
    agent = new Agent({ keepAlive: false });
  });
  const close = async (): Promise<void> => {
    await server?.close();
    server = undefined;
  };
  afterEach(async () => {
    agent.destroy();
    await close();
  });

  const serve: HttpBench["serve"] = async (idempotency, options = {}) => {
    server = await start(idempotency, options, stageHandler({ effects, slow, bytes }));
  };
  const open: HttpBench["open"] = (path, key, settings) => {
    const { port = 0, protocol } = server ?? {};
    return protocol === "h2c" ? openStream(port, path, key, settings) : openRequest(port, agent, path, key, settings);
  };
  return {
    bench,
    bytes,
    get effects() {
      return effects;
    },
    get slow() {
      return slow;
    },
    async listen(options = {}, settings = {}) {
      const idempotency = bench.idempotency({ leaseMs: longLeaseMs, ...settings });
      await serve(idempotency, options);
      return idempotency;
    },
    serve,
    close,
    open,
    send: (path, key, settings) => open(path, key, settings).reply,
  };
}

/** Checks an answer of the guard's own. */
export function expectProblem({ status, headers, body }: Reply, wanted: number, code: string): void {
  expect({ status, type: headers["content-type"] }).toEqual({ status: wanted, type: "application/problem+json" });
  const problem = JSON.parse(body.toString()) as Record<string, unknown>;
  expect(problem).toMatchObject({
    status: wanted,
    title: expect.any(String) as string,
    detail: expect.any(String) as string,
  });
  expect(problem["type"]).toMatch(new RegExp(`^https://.+#${code}$`));
  expect(headers["link"]).toBe(`<${String(problem["type"])}>; rel="describedby"`);
  expect(headers["idempotency-replayed"]).toBeUndefined();
}
