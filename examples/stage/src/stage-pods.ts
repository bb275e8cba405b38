/**
 * Owns the processes of one run: they end with it, or when the stage's signal aborts, and not one is left that was just being started.
 * How long one may take until it is ready is the same for all.
 */
import { Pod } from "@holdfast/testkit";
import type { Stage } from "./scenario.ts";

/** For a process to be ready: reached by one that hangs, not by one that a busy machine is slow to start. */
export const STARTS_WITHIN: { readonly timeoutMs: number } = { timeoutMs: 120_000 };

/**
 * Does something with processes of its own. They are dead when it settles.
 *
 * @throws the reason of the stage's signal when that has aborted, whatever it was that was interrupted and says so in words of its own.
 */
export async function withPods<Result>(stage: Stage, run: (pods: StagePods) => Promise<Result>): Promise<Result> {
  await using pods = new StagePods(stage);
  try {
    const result = await run(pods);
    stage.signal.throwIfAborted();
    return result;
  } catch (error) {
    stage.signal.throwIfAborted();
    throw error;
  }
}

/** The processes of one run. */
export class StagePods implements AsyncDisposable {
  private readonly stage: Stage;
  private readonly starts: Promise<Pod>[] = [];
  private readonly onAbort = (): void => void this.killAll();

  constructor(stage: Stage) {
    this.stage = stage;
    stage.signal.addEventListener("abort", this.onAbort);
  }

  /**
   * Starts a process.
   *
   * @throws the reason of the stage's signal when that has aborted.
   */
  start(program: URL, env: Readonly<Record<string, string>>): Promise<Pod> {
    const start = this.launch(program, env);
    this.starts.push(start);
    return start;
  }

  /** Resolves when all of them are dead. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stage.signal.removeEventListener("abort", this.onAbort);
    await this.killAll();
  }

  private async launch(program: URL, env: Readonly<Record<string, string>>): Promise<Pod> {
    // Several starts of one program: compiled once, each takes half as long.
    const cache = await this.stage.servers.scratch("compile-cache");
    this.stage.signal.throwIfAborted();
    return Pod.start(program, { env: { ...env, NODE_COMPILE_CACHE: cache } });
  }

  private async killAll(): Promise<void> {
    const dead = this.starts.map((start) =>
      start.then(
        (pod) => pod.kill(),
        () => undefined,
      ),
    );
    await Promise.all(dead);
  }
}
