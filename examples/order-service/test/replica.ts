/**
 * One replica of the service as a real process.
 */
import { Pod, pollUntil } from "@holdfast/testkit";
import { Service } from "./requests.ts";
import { WAIT } from "./wait.ts";

const PROGRAM = new URL("../src/main.ts", import.meta.url);

/** For tests that are not about answers of Redis that come late: a machine that stands still for seconds is no such answer. */
export const PATIENT: Readonly<Record<string, string>> = { REDIS_TIMEOUT_MS: "60000" };

/** A process that was started and answers its probes. */
export class Replica extends Service implements AsyncDisposable {
  readonly pod: Pod;
  readonly url: string;

  private constructor(pod: Pod, url: string) {
    super();
    this.pod = pod;
    this.url = url;
  }

  /** Resolves when it listens; {@link ready} waits for more. */
  static async start(env: Readonly<Record<string, string>>): Promise<Replica> {
    const pod = await Pod.start(PROGRAM, { env: { HOST: "127.0.0.1", PORT: "0", ...PATIENT, ...env } });
    const line = await pod.waitForLine(/listening at/, WAIT.timeoutMs);
    return new Replica(pod, /http:\/\/[^"]*/.exec(line)?.[0] ?? "");
  }

  /** Resolves with this when /readyz says 200. */
  async ready(): Promise<this> {
    await pollUntil("the replica is ready", async () => (await this.send("GET", "/readyz")).status === 200, WAIT);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pod.kill();
  }
}
