/** One independent Redis of a quorum: our scripts on redlock's raw key, each bounded by `nodeTimeoutMs` and by its own server's clock (K1). */
import { Connection, decodeTagged, defineScript } from "@holdfast/core";
import type { CallOptions, Clock, RedisLike, Script } from "@holdfast/core";
import { refuseFormat } from "../newer-format.ts";
import { quorumConfirm, quorumExtend, quorumInspect, quorumPropose, quorumRelease } from "../scripts.generated.ts";
import type { QuorumKeys } from "./quorum-keys.ts";

/** What a node answers to a proposal. */
export type ProposeReply = { readonly kind: "granted"; readonly token: number } | { readonly kind: "held" };

/** What a node answers to a confirmation. */
export type ConfirmReply =
  | { readonly kind: "confirmed"; readonly nowUs: number }
  | { readonly kind: "higher"; readonly token: number }
  | { readonly kind: "lost" };

/** Who holds a node's lock. */
export interface NodeState {
  readonly value: string;
  readonly remainingMs: number;
  /** The highest token this node has seen; 0 when it has seen none. */
  readonly token: number;
}

const proposeScript: Script<typeof quorumPropose, ProposeReply> = defineScript(quorumPropose, (reply, operation) =>
  decodeTagged<ProposeReply>(operation, reply, {
    granted: (fields) => ({ kind: "granted", token: fields.integer() }),
    held: () => ({ kind: "held" }),
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  }),
);

const confirmScript: Script<typeof quorumConfirm, ConfirmReply> = defineScript(quorumConfirm, (reply, operation) =>
  decodeTagged<ConfirmReply>(operation, reply, {
    confirmed: (fields) => ({ kind: "confirmed", nowUs: fields.integer() }),
    higher: (fields) => ({ kind: "higher", token: fields.integer() }),
    lost: () => ({ kind: "lost" }),
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  }),
);

const extendScript = defineScript(quorumExtend, (reply, operation) =>
  decodeTagged(operation, reply, { extended: () => true, lost: () => false }),
);

const releaseScript = defineScript(quorumRelease, (reply, operation) =>
  decodeTagged(operation, reply, { released: () => true, lost: () => false }),
);

const inspectScript = defineScript(quorumInspect, (reply, operation) =>
  decodeTagged<NodeState | null>(operation, reply, {
    free: () => null,
    held: (fields) => ({ value: fields.text(), remainingMs: fields.integer(), token: fields.integer() }),
  }),
);

/** One node. */
export class QuorumNode {
  /** `host:port`, or its place in the list. */
  readonly name: string;
  readonly connection: Connection;
  readonly #nodeTimeoutMs: number;
  readonly #retentionMs: number;

  /** @throws TypeError when the client is none, or has a `keyPrefix` */
  constructor(redis: RedisLike, place: number, clock: Clock, nodeTimeoutMs: number, retentionMs: number) {
    this.connection = Connection.of(redis, clock);
    const { host, port } = redis.options as { readonly host?: string; readonly port?: number };
    this.name = port === undefined ? `node ${place + 1}` : `${host ?? "localhost"}:${port}`;
    this.#nodeTimeoutMs = nodeTimeoutMs;
    this.#retentionMs = retentionMs;
  }

  /** Takes the lock and proposes a token. */
  propose({ lock, fence, gone }: QuorumKeys, value: string, ttlMs: number): Promise<ProposeReply> {
    const args = { value, ttlMs, retentionMs: this.#retentionMs };
    return this.connection.run(
      proposeScript,
      { lock, fence, gone: gone(value) },
      args,
      this.#call("propose", lock, value),
    );
  }

  /** Writes a token back. */
  confirm({ lock, fence }: QuorumKeys, value: string, token: number): Promise<ConfirmReply> {
    const args = { value, token: String(token).padStart(16, "0"), retentionMs: this.#retentionMs };
    return this.connection.run(confirmScript, { lock, fence }, args, this.#call("confirm", lock, value));
  }

  /** Resolves to whether the value still held it. */
  extend({ lock }: QuorumKeys, value: string, ttlMs: number): Promise<boolean> {
    return this.connection.run(extendScript, { lock }, { value, ttlMs }, this.#call("extend", lock, value));
  }

  /** Resolves to whether the value held it. A seal keeps out what may still be under way. */
  release({ lock, gone }: QuorumKeys, value: string, mayArrive: boolean): Promise<boolean> {
    const sealMs = mayArrive ? this.#nodeTimeoutMs : 0;
    return this.connection.run(
      releaseScript,
      { lock, gone: gone(value) },
      { value, sealMs },
      this.#call("release", lock, value),
    );
  }

  /** Who holds it. */
  inspect({ lock, fence }: QuorumKeys): Promise<NodeState | null> {
    return this.connection.run(inspectScript, { lock, fence }, {}, this.#call("inspect", lock, "none"));
  }

  #call(verb: string, lock: string, operationId: string): CallOptions {
    return { operation: `quorum.${verb} ${lock} on ${this.name}`, operationId, timeoutMs: this.#nodeTimeoutMs };
  }
}
