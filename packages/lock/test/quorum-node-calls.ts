/** The scripts that a quorum runs on each of its nodes as raw calls on one name, with the defaults a test does not care about. */
import type { LuaSource } from "@holdfast/core";
import { quorumKeys } from "../src/redlock/quorum-keys.ts";
import type { QuorumKeys } from "../src/redlock/quorum-keys.ts";
import { quorumConfirm, quorumExtend, quorumInspect, quorumPropose, quorumRelease } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import type { RawInputs } from "./raw-script.ts";
import type { RealServer } from "./real-server.ts";

/** A tagged reply of texts. */
export type NodeReply = [string, ...string[]];

/** Where the name of the tests lives. */
export const nodeKeys: QuorumKeys = quorumKeys("holdfast", "user:a");

/** Raw calls on one node. */
export class NodeCalls {
  readonly #real: RealServer;

  constructor(real: RealServer) {
    this.#real = real;
  }

  propose(value: string, more: RawInputs = {}): Promise<NodeReply> {
    return this.#run(quorumPropose, value, { value, ttlMs: 10_000, retentionMs: 60_000, ...more });
  }

  confirm(value: string, token: number, more: RawInputs = {}): Promise<NodeReply> {
    return this.#run(quorumConfirm, value, {
      value,
      token: String(token).padStart(16, "0"),
      retentionMs: 60_000,
      ...more,
    });
  }

  extend(value: string, more: RawInputs = {}): Promise<NodeReply> {
    return this.#run(quorumExtend, value, { value, ttlMs: 20_000, ...more });
  }

  release(value: string, more: RawInputs = {}): Promise<NodeReply> {
    return this.#run(quorumRelease, value, { value, sealMs: 0, ...more });
  }

  inspect(): Promise<NodeReply> {
    return this.#run(quorumInspect, "nobody", {});
  }

  async #run(source: LuaSource, value: string, inputs: RawInputs): Promise<NodeReply> {
    const { lock, fence, gone } = nodeKeys;
    return (await runRaw(this.#real.redis, source, { lock, fence, gone: gone(value) }, inputs)) as NodeReply;
  }
}
