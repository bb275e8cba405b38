/**
 * One replica of the service as a real process, and the requests that tests send to it.
 */
import { Pod, pollUntil } from "@holdfast/testkit";

/** What a replica answered. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const PROGRAM = new URL("../src/main.ts", import.meta.url);

/** Sends one request; a string is sent as it is, an object as JSON. */
export async function send(url: string, method: string, path: string, body?: object | string): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    ...(body === undefined
      ? {}
      : {
          body: typeof body === "string" ? body : JSON.stringify(body),
          headers: { "content-type": "application/json" },
        }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
}

/** A process that was started and answers its probes. */
export class Replica implements AsyncDisposable {
  readonly pod: Pod;
  readonly url: string;

  private constructor(pod: Pod, url: string) {
    this.pod = pod;
    this.url = url;
  }

  /** Resolves when it listens; {@link ready} waits for more. */
  static async start(env: Readonly<Record<string, string>>): Promise<Replica> {
    const pod = await Pod.start(PROGRAM, { env: { HOST: "127.0.0.1", PORT: "0", ...env } });
    const line = await pod.waitForLine(/listening at/);
    return new Replica(pod, /http:\/\/[^"]*/.exec(line)?.[0] ?? "");
  }

  /** Resolves with this when /readyz says 200. */
  async ready(): Promise<this> {
    await pollUntil("the replica is ready", async () => (await this.send("GET", "/readyz")).status === 200);
    return this;
  }

  send(method: string, path: string, body?: object | string): Promise<Answer> {
    return send(this.url, method, path, body);
  }

  /** Places an order and returns its id. */
  async place(): Promise<string> {
    const { body } = await this.send("POST", "/orders", { amountCents: 1_999 });
    return String(body["id"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pod.kill();
  }
}
