/** Replicas in processes of their own, and what they said. */
import { Pod } from "@holdfast/testkit";
import { patientMs, steadyLeaseMs } from "./desk.ts";
import type { RunnerPodOptions } from "./runner.pod.ts";

/** What a replica says about a run. */
export interface Said {
  readonly runner: string;
  readonly began?: string;
  readonly ended?: string;
  readonly attempt: number;
  readonly token: number;
  readonly version: number;
  readonly aborted?: boolean;
  readonly event?: string;
}

/** Replicas of one test; `await using` kills them. */
export class Fleet implements AsyncDisposable {
  readonly said: Said[] = [];
  readonly #pods: Pod[] = [];

  /** Starts a replica. Resolves when its job is on record. */
  async start(runner: string, options: RunnerPodOptions): Promise<Pod> {
    const scheduler = { commandTimeoutMs: patientMs, leaseMs: steadyLeaseMs, pollMs: 50, runner, ...options.scheduler };
    const env = { RUNNER: JSON.stringify({ ...options, scheduler }) };
    const pod = await Pod.start(new URL("runner.pod.ts", import.meta.url), { env });
    this.#pods.push(pod);
    void this.#listen(runner, pod);
    await pod.ready();
    return pod;
  }

  /** Runs that began, in order. */
  get began(): Said[] {
    return this.said.filter(({ began }) => began !== undefined);
  }

  async #listen(runner: string, pod: Pod): Promise<void> {
    for await (const message of pod) this.said.push({ runner, ...(message as Omit<Said, "runner">) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pods.map((pod) => pod.kill()));
  }
}
