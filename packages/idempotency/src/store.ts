/**
 * The calls to Redis on one key. A call whose answer was lost is repeated under the same owner, which gets the first answer (K1), before
 * anybody hears "unknown".
 */
import { isAscii } from "node:buffer";
import {
  backoffMs,
  NewerFormatError,
  OutcomeUnknownError,
  RedisUnavailableError,
  sleep,
  TooLateError,
} from "@holdfast/core";
import type { Backoff, CallOptions, Connection, Effect } from "@holdfast/core";
import type { LeaseData } from "./attempt.ts";
import type { IndexPlace, KeyPlace } from "./keys.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import * as scripts from "./scripts.ts";
import type { ClaimReply, EndReply, IndexEntry, NewerFormat, RecordReply, ResolveReply } from "./scripts.ts";

/** The newest record format that this version reads. */
const format = 1;

/** Pauses between repetitions. */
const backoff: Backoff = { baseMs: 25, delayMaxMs: 500, jitter: 0.5 };

/** How often a call is sent at most. An outcome is worth more patience than a question. */
const sendsMax = { claim: 2, end: 2, finish: 4 };

/** An attempt's outcome, encoded. */
export interface EncodedOutcome {
  readonly outcome: "completed" | "failed";
  readonly codecId: string;
  readonly bytes: Uint8Array;
}

/** The attempt that an outcome belongs to. */
export interface AttemptIdentity extends LeaseData {
  readonly token: number;
  readonly number: number;
  readonly fingerprint: string;
}

function isWorthRepeating(error: unknown): boolean {
  return (
    error instanceof OutcomeUnknownError || error instanceof RedisUnavailableError || error instanceof TooLateError
  );
}

/** The keys of one instance in Redis. */
export class AttemptStore {
  readonly #connection: Connection;
  readonly #options: ResolvedIdempotencyOptions;

  constructor(connection: Connection, options: ResolvedIdempotencyOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Asks for the next attempt. A lost answer is asked for again; a store that cannot be reached is reported at once. */
  claim({ place, owner }: LeaseData, fingerprint: string): Promise<Exclude<ClaimReply, NewerFormat>> {
    const { leaseMs, retentionMs, attemptMaxMs, onUnknown } = this.#options;
    const { record, recovering, held, member } = place;
    const indexMs = attemptMaxMs + leaseMs + retentionMs;
    const send = (): Promise<ClaimReply> =>
      this.#connection.run(
        scripts.claim,
        { record, recovering, held },
        { owner, fingerprint, leaseUs: leaseMs * 1_000, retentionMs, indexMs, onUnknown, member },
        this.#call("claim", place, owner),
      );
    return this.#insist(place, send, sendsMax.claim, (error) => !(error instanceof RedisUnavailableError));
  }

  /** Prolongs a lease; once, since the lease keeper tries again by itself. */
  async renew({ place, owner }: LeaseData): Promise<"renewed" | "lost"> {
    const { leaseMs, retentionMs, commandTimeoutMs } = this.#options;
    const timeoutMs = Math.max(10, Math.min(commandTimeoutMs, Math.floor(leaseMs / 3)));
    const options = { ...this.#call("renew", place, owner), timeoutMs, durability: undefined };
    const reply = await this.#connection.run(scripts.renew, { record: place.record }, { owner, retentionMs }, options);
    return this.#readable(place, reply).kind;
  }

  /** Stores an outcome with its state. */
  finish(
    identity: AttemptIdentity,
    { outcome, codecId, bytes }: EncodedOutcome,
  ): Promise<Exclude<EndReply, NewerFormat>> {
    const { place, owner, token, number, fingerprint } = identity;
    const args = {
      owner,
      token,
      number,
      fingerprint,
      outcome,
      codec: codecId,
      result: argumentOf(bytes),
      retentionMs: this.#options.retentionMs,
      member: place.member,
      publish: this.#connection.publishCommand,
    };
    const send = (): Promise<EndReply> =>
      this.#connection.run(scripts.finish, endKeys(place), args, this.#call("complete", place, owner));
    return this.#insist(place, send, sendsMax.finish);
  }

  /** Ends an attempt without an outcome, also one whose grant never arrived. */
  release({ place, owner }: LeaseData, effect: Effect): Promise<Exclude<EndReply, NewerFormat>> {
    const { retentionMs } = this.#options;
    const args = { owner, effect, retentionMs, member: place.member, publish: this.#connection.publishCommand };
    const send = (): Promise<EndReply> =>
      this.#connection.run(scripts.release, endKeys(place), args, this.#call("release", place, owner));
    return this.#insist(place, send, sendsMax.end);
  }

  /** Ends an attempt whose outcome is unknown. */
  hold({ place, owner }: LeaseData): Promise<Exclude<EndReply, NewerFormat>> {
    const { retentionMs } = this.#options;
    const args = { owner, retentionMs, member: place.member, publish: this.#connection.publishCommand };
    const { record, hints } = place;
    const send = (): Promise<EndReply> =>
      this.#connection.run(scripts.hold, { record, hints }, args, this.#call("hold", place, owner));
    return this.#insist(place, send, sendsMax.end);
  }

  /** An operator's decision. */
  async resolve(
    place: KeyPlace,
    operationId: string,
    decision: { outcome: "completed" | "failed" | "released"; effect: Effect; codecId: string; bytes: Uint8Array },
  ): Promise<Exclude<ResolveReply, NewerFormat>> {
    const { bytes, codecId: codec, outcome, effect } = decision;
    const reply = await this.#connection.run(
      scripts.resolve,
      endKeys(place),
      {
        operationId,
        outcome,
        effect,
        codec,
        result: argumentOf(bytes),
        retentionMs: this.#options.retentionMs,
        member: place.member,
        publish: this.#connection.publishCommand,
      },
      this.#call("resolve", place, operationId),
    );
    return this.#readable(place, reply);
  }

  /** Removes a key, leaving a tombstone. */
  async forget(place: KeyPlace, operationId: string): Promise<"forgotten" | "absent"> {
    const { retentionMs } = this.#options;
    const args = { operationId, retentionMs, member: place.member, publish: this.#connection.publishCommand };
    const call = this.#call("forget", place, operationId);
    const reply = await this.#connection.run(scripts.forget, endKeys(place), args, call);
    return this.#readable(place, reply).kind;
  }

  /** What is known of a key; null for nothing. */
  async inspect(place: KeyPlace): Promise<RecordReply | null> {
    const call = this.#call("inspect", place);
    const reply = await this.#connection.run(scripts.inspect, { record: place.record }, {}, call);
    const readable = this.#readable(place, reply);
    return readable.kind === "record" ? readable : null;
  }

  /** A page of an index. */
  list(index: string, fromMs: number, olderThanMs: number, countMax: number): Promise<readonly IndexEntry[]> {
    const options = { operation: "idempotency.stuck", timeoutMs: this.#options.commandTimeoutMs };
    return this.#connection.run(scripts.list, { index }, { fromMs, olderThanMs, countMax }, options);
  }

  /** Takes an entry whose record is gone out of both indexes. */
  async prune(place: KeyPlace, { recovering, held }: IndexPlace): Promise<void> {
    const { record, member } = place;
    const call = this.#call("stuck", place);
    await this.#connection.run(scripts.prune, { record, index: recovering }, { member }, call);
    await this.#connection.run(scripts.prune, { record, index: held }, { member }, call);
  }

  #call(verb: string, place: KeyPlace, operationId?: string): CallOptions {
    const { commandTimeoutMs: timeoutMs, durability } = this.#options;
    const operation = `idempotency.${verb} ${place.resource}`;
    return operationId === undefined ? { operation, timeoutMs } : { operation, operationId, timeoutMs, durability };
  }

  /** @throws NewerFormatError */
  #readable<Reply extends { readonly kind: string }>(
    place: KeyPlace,
    reply: Reply | NewerFormat,
  ): Exclude<Reply, NewerFormat> {
    if (reply.kind === "newer-format") {
      throw new NewerFormatError(place.resource, (reply as NewerFormat).version, format);
    }
    return reply as Exclude<Reply, NewerFormat>;
  }

  async #insist<Reply extends { readonly kind: string }>(
    place: KeyPlace,
    send: () => Promise<Reply>,
    sends: number,
    repeatable: (error: unknown) => boolean = () => true,
  ): Promise<Exclude<Reply, NewerFormat>> {
    const { clock, random } = this.#options;
    for (let sent = 1; ; sent += 1) {
      try {
        return this.#readable<Reply>(place, await send());
      } catch (error) {
        if (sent >= sends || !isWorthRepeating(error) || !repeatable(error)) throw error;
        await sleep(clock, backoffMs(backoff, sent, random));
      }
    }
  }
}

/** The client sends texts much faster than bytes, and of ASCII both are the same. */
function argumentOf(bytes: Uint8Array): string | Buffer {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isAscii(buffer) ? buffer.toString("latin1") : buffer;
}

function endKeys({
  record,
  recovering,
  held,
  hints,
}: KeyPlace): Record<"record" | "recovering" | "held" | "hints", string> {
  return { record, recovering, held, hints };
}
