/**
 * Owns one replica of the order service: a real process, and what its deployment knows about it.
 */
import { STARTS_WITHIN, type StagePods } from "@holdfast-examples/stage";
import { pollUntil, type Pod } from "@holdfast/testkit";

/** Where a replica is in its life. */
export type ReplicaState = "starting" | "ready" | "terminating" | "killed" | "gone";

const PROGRAM = new URL(import.meta.resolve("@holdfast-examples/order-service/main"));

/** One process. */
export class Replica {
  readonly name: string;
  state: ReplicaState = "starting";
  /** Where it listens, once it does. */
  url = "";
  private readonly pod: Pod;

  private constructor(name: string, pod: Pod) {
    this.name = name;
    this.pod = pod;
  }

  /** Starts the process; it is of no use before {@link ready}. */
  static async start(name: string, pods: StagePods, env: Readonly<Record<string, string>>): Promise<Replica> {
    return new Replica(name, await pods.start(PROGRAM, { ...env, HOST: "127.0.0.1", PORT: "0" }));
  }

  /** Waits for the readiness probe, as a kubelet does. */
  async ready(): Promise<void> {
    const line = await this.pod.waitForLine(/listening at/, STARTS_WITHIN.timeoutMs);
    const port = /listening at http:\/\/[^"]*:(\d+)/.exec(line)?.[1];
    this.url = `http://127.0.0.1:${port}`;
    await pollUntil(
      `${this.name} is ready`,
      async () => {
        if (!this.pod.isRunning) return true;
        const response = await fetch(`${this.url}/readyz`);
        await response.arrayBuffer();
        return response.ok;
      },
      { ...STARTS_WITHIN, intervalMs: 20 },
    );
    if (!this.pod.isRunning) throw new Error(`${this.name} ended before it was ready:\n${this.pod.output}`);
    this.state = "ready";
  }

  /**
   * SIGTERM, and SIGKILL when the grace period is over. Resolves when the process has ended; true when it ended in time.
   *
   * @throws Error when it ended by itself and says that something went wrong.
   */
  async terminate(graceMs: number): Promise<boolean> {
    this.state = "terminating";
    const { graceful, code, tookMs } = await this.pod.term(graceMs);
    this.state = "gone";
    // On a machine that stands still it may find for itself that its time is over, before SIGKILL comes.
    const inTime = graceful && tookMs <= graceMs;
    if (inTime && code !== null && code !== 0)
      throw new Error(`${this.name} ended with status ${code}:\n${this.pod.output}`);
    return inTime;
  }

  /** SIGKILL, with no warning. */
  async kill(): Promise<void> {
    this.state = "killed";
    await this.pod.kill();
  }
}
