/**
 * Owns the processes of one run: they end with it, or when the stage's signal aborts, and not one is left that was just being started.
 */
import { Pod } from "@holdfast/testkit";
import type { Stage } from "./scenario.ts";

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
