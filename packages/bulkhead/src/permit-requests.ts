/** What one process asks of the permits that all share, in requests that are numbered: one that a younger one overtook changes nothing. */
import { RedisUnavailableError } from "@holdfast/core";
import type { Connection, ResolvedCommonOptions } from "@holdfast/core";
import { podsKey } from "./keys.ts";
import type { SharedKey } from "./keys.ts";
import type { PermitRequest } from "./permit-demand.ts";
import { leaveScript, syncScript } from "./scripts.ts";
import type { SyncReply } from "./scripts.ts";

/** Whose permits they are, and their bounds. */
export interface PermitRequestSettings {
  readonly name: string;
  readonly concurrencyMax: number;
  readonly leaseMs: number;
  readonly podsMax: number;
  readonly common: ResolvedCommonOptions<never>;
}

/** What Redis grants. */
export type Granted = Extract<SyncReply, { kind: "granted" }>;

const retentionMs = 86_400_000;

/** The requests of one process. */
export class PermitRequests {
  readonly pod: string;
  readonly key: SharedKey;
  readonly #connection: Connection;
  readonly #settings: PermitRequestSettings;
  #sequence = 0;

  constructor(connection: Connection, settings: PermitRequestSettings) {
    this.#connection = connection;
    this.#settings = settings;
    this.key = podsKey(settings.common.prefix, settings.name);
    this.pod = settings.common.random.id();
  }

  /**
   * Renews the lease with what is to be kept and what is wanted, or joins.
   * @throws RedisUnavailableError, also when a younger request overtook this one; what `Connection.run` throws
   */
  async sync({ keep, used, wanted }: PermitRequest): Promise<Granted> {
    const { name, leaseMs, concurrencyMax, podsMax } = this.#settings;
    this.#sequence += 1;
    const args = {
      pod: this.pod,
      sequence: this.#sequence,
      leaseUs: leaseMs * 1_000,
      limit: concurrencyMax,
      keep,
      used,
      wanted,
      podsMax,
      retentionMs,
      publish: this.#connection.publishCommand,
    };
    const reply = await this.#connection.run(syncScript, { pods: this.key.key }, args, this.#call("sync"));
    if (reply.kind === "granted") return reply;
    throw new RedisUnavailableError(`bulkhead.sync ${name}`, "STALE", "a younger request overtook it");
  }

  /**
   * Gives back everything that was granted under the token.
   * @throws what `Connection.run` throws
   */
  async leave(token: number): Promise<void> {
    const args = { pod: this.pod, token, publish: this.#connection.publishCommand };
    await this.#connection.run(leaveScript, { pods: this.key.key }, args, this.#call("leave"));
  }

  #call(action: string): { readonly operation: string; readonly timeoutMs: number; readonly operationId: string } {
    return {
      operation: `bulkhead.${action} ${this.#settings.name}`,
      timeoutMs: this.#settings.common.commandTimeoutMs,
      operationId: `${this.pod}:${this.#sequence}`,
    };
  }
}
