/** The calls to Redis on one key. insistence.ts says which of them are repeated, and how often. */
import { isAscii } from "node:buffer";
import { isCluster } from "@holdfast/core";
import type { CallOptions, Connection, Effect, LuaSource, Script, ScriptArgs, ScriptKeys } from "@holdfast/core";
import type { LeaseData } from "./attempt.ts";
import { Batches } from "./batches.ts";
import type { Alone, Replies } from "./batches.ts";
import { insist, insistenceOf, readable } from "./insistence.ts";
import { encodePart } from "./keys.ts";
import type { IndexPlace, KeyPlace } from "./keys.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import type { EncodedResolution } from "./resolution.ts";
import * as scripts from "./scripts.ts";
import type { ClaimReply, EndReply, IndexEntry, NewerFormat, RecordReply, ResolveReply } from "./scripts.ts";

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
  readonly recovered: boolean;
  readonly fingerprint: string;
}

interface ClaimItem extends LeaseData {
  readonly fingerprint: string;
}

interface OutcomeItem extends LeaseData {
  readonly identity: AttemptIdentity;
  readonly outcome: EncodedOutcome;
}

/** A longer result is sent by itself: whoever comes after it in a batch would wait for it. */
const togetherBytesMax = 16_384;

/** The keys of one instance in Redis. */
export class AttemptStore {
  readonly #connection: Connection;
  readonly #options: ResolvedIdempotencyOptions;
  readonly #claims: Batches<ClaimItem, ClaimReply>;
  readonly #outcomes: Batches<OutcomeItem, EndReply>;

  constructor(connection: Connection, options: ResolvedIdempotencyOptions) {
    this.#connection = connection;
    this.#options = options;
    const together = !isCluster(connection.redis) && options.durability === undefined;
    this.#claims = new Batches({ verb: "claim", together, options, send: (items, call) => this.#claim(items, call) });
    this.#outcomes = new Batches({
      verb: "complete",
      together,
      options,
      send: (items, call) => this.#finish(items, call),
    });
  }

  /**
   * Asks for the next attempt. A lost answer is asked for again, but not from `untilMs` on, in monotonic milliseconds; a store that cannot be
   * reached is reported at once.
   */
  claim(
    { place, owner }: LeaseData,
    fingerprint: string,
    untilMs: number = Infinity,
  ): Promise<Exclude<ClaimReply, NewerFormat>> {
    const item = { place, owner, fingerprint };
    const send = (alone: boolean): Promise<ClaimReply | Alone> => this.#claims.ask(item, alone);
    return insist(place, send, insistenceOf.claim, this.#options, untilMs);
  }

  /** Prolongs a lease; once, since the lease keeper tries again by itself. */
  async renew({ place, owner }: LeaseData): Promise<"renewed" | "lost"> {
    const { leaseMs, retentionMs, commandTimeoutMs } = this.#options;
    const timeoutMs = Math.max(10, Math.min(commandTimeoutMs, Math.floor(leaseMs / 3)));
    const options = { ...this.#call("renew", place, owner), timeoutMs, durability: undefined };
    const reply = await this.#connection.run(
      scripts.renew,
      { record: place.record },
      { owner: encodePart(owner), retentionMs },
      options,
    );
    return readable(place, reply).kind;
  }

  /** Stores an outcome with its state. */
  finish(identity: AttemptIdentity, outcome: EncodedOutcome): Promise<Exclude<EndReply, NewerFormat>> {
    const { place, owner } = identity;
    const item = { place, owner, identity, outcome };
    const long = outcome.bytes.length > togetherBytesMax;
    const send = (alone: boolean): Promise<EndReply | Alone> => this.#outcomes.ask(item, alone || long);
    return insist(place, send, insistenceOf.finish, this.#options);
  }

  /** Ends an attempt without an outcome, also one whose grant never arrived. */
  release({ place, owner }: LeaseData, effect: Effect): Promise<Exclude<EndReply, NewerFormat>> {
    const { retentionMs } = this.#options;
    const args = { owner: encodePart(owner), effect, retentionMs, publish: this.#connection.publishCommand };
    const send = (): Promise<EndReply> =>
      this.#run(scripts.release, endKeys(place), args, this.#call("release", place, owner));
    return insist(place, send, insistenceOf.end, this.#options);
  }

  /** Ends an attempt whose outcome is unknown. */
  hold({ place, owner }: LeaseData): Promise<Exclude<EndReply, NewerFormat>> {
    const { retentionMs } = this.#options;
    const args = { owner: encodePart(owner), retentionMs, publish: this.#connection.publishCommand };
    const send = (): Promise<EndReply> =>
      this.#run(scripts.hold, { record: place.record }, args, this.#call("hold", place, owner));
    return insist(place, send, insistenceOf.end, this.#options);
  }

  /** An operator's decision. */
  async resolve(
    place: KeyPlace,
    operationId: string,
    decision: EncodedResolution,
  ): Promise<Exclude<ResolveReply, NewerFormat>> {
    const { bytes, codecId, outcome, effect } = decision;
    const reply = await this.#run(
      scripts.resolve,
      endKeys(place),
      {
        operationId: encodePart(operationId),
        outcome,
        effect,
        codec: encodePart(codecId),
        result: argumentOf(bytes),
        retentionMs: this.#options.retentionMs,
        publish: this.#connection.publishCommand,
      },
      this.#call("resolve", place, operationId),
    );
    return readable(place, reply);
  }

  /** Removes a key, leaving a tombstone. */
  async forget(place: KeyPlace, operationId: string): Promise<"forgotten" | "absent"> {
    const { retentionMs } = this.#options;
    const { publishCommand: publish } = this.#connection;
    const args = { operationId: encodePart(operationId), retentionMs, publish };
    const call = this.#call("forget", place, operationId);
    const reply = await this.#connection.run(scripts.forget, endKeys(place), args, call);
    return readable(place, reply).kind;
  }

  /** What is known of a key; null for nothing. */
  async inspect(place: KeyPlace): Promise<RecordReply | null> {
    const call = this.#call("inspect", place);
    const reply = await this.#connection.run(scripts.inspect, { record: place.record }, {}, call);
    const found = readable(place, reply);
    return found.kind === "record" ? found : null;
  }

  /** A page of an index. */
  list(index: string, fromUs: number, olderThanMs: number, countMax: number): Promise<readonly IndexEntry[]> {
    const options = { operation: "idempotency.stuck", timeoutMs: this.#options.commandTimeoutMs };
    return this.#connection.run(scripts.list, { index }, { fromUs, olderThanMs, countMax }, options);
  }

  /** Takes an entry whose record is gone out of both indexes. */
  async prune(place: KeyPlace, { recovering, held }: IndexPlace): Promise<void> {
    const { record, member } = place;
    const call = this.#call("stuck", place);
    await this.#connection.run(scripts.prune, { record, index: recovering }, { member }, call);
    await this.#connection.run(scripts.prune, { record, index: held }, { member }, call);
  }

  #claim(items: readonly ClaimItem[], call: CallOptions): Promise<Replies<ClaimReply>> {
    const { leaseMs, retentionMs, attemptMaxMs, onUnknown } = this.#options;
    const keepMs = leaseMs + retentionMs;
    const places: string[] = [];
    const claims: string[] = [];
    for (const { place, owner, fingerprint } of items) {
      if (onUnknown === "hold") places.push(place.record, place.held, place.recovering);
      else places.push(place.record, place.recovering);
      claims.push(`${fingerprint}:${encodePart(owner)}`);
    }
    const args = { leaseUs: leaseMs * 1_000, keepMs, indexMs: attemptMaxMs + keepMs, onUnknown, claims };
    return this.#run(scripts.claim, { places }, args, call);
  }

  #finish(items: readonly OutcomeItem[], call: CallOptions): Promise<Replies<EndReply>> {
    const { retentionMs, onUnknown } = this.#options;
    const places: string[] = [];
    const outcomes: (string | Buffer)[] = [];
    for (const { place, owner, identity, outcome } of items) {
      const { token, number, recovered, fingerprint } = identity;
      places.push(place.record, onUnknown === "hold" ? place.held : place.recovering);
      const attempt = `${token}:${fingerprint}:${encodePart(owner)}:${number}:${recovered ? 1 : 0}:${onUnknown}:`;
      outcomes.push(attempt, outcome.outcome, resultArgument(outcome.codecId, outcome.bytes));
    }
    const args = { retentionMs, publish: this.#connection.publishCommand, outcomes };
    return this.#run(scripts.finish, { places }, args, call);
  }

  /**
   * Runs a script. Only what it has written for its caller needs replicas: a refusal, and what is read of others, is the answer also when
   * too few have it, and no outcome of the caller's that stands on the master (I2, I3).
   */
  #run<const Source extends LuaSource, Reply extends Answer | readonly Answer[]>(
    script: Script<Source, Reply>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    call: CallOptions,
  ): Promise<Reply> {
    return this.#connection.runConfirmed(script, keys, args, call, (reply) => {
      const answers: readonly Answer[] = "kind" in reply ? [reply] : reply;
      return answers.some(({ kind }) => written.has(kind));
    });
  }

  #call(verb: string, place: KeyPlace, operationId?: string): CallOptions {
    const { commandTimeoutMs: timeoutMs, durability } = this.#options;
    const operation = `idempotency.${verb} ${place.resource}`;
    return operationId === undefined ? { operation, timeoutMs } : { operation, operationId, timeoutMs, durability };
  }
}

/** Any answer, by its kind. */
interface Answer {
  readonly kind: string;
}

/** The answers with which a script says that it has written what it was asked to, now or when it was asked before. */
const written: ReadonlySet<string> = new Set(["granted", "ended", "resolved"]);

/** A result after the name of its codec. */
function resultArgument(codecId: string, bytes: Uint8Array): string | Buffer {
  const result = argumentOf(bytes);
  const codec = encodePart(codecId);
  // The client writes a text as UTF-8, of which ASCII is a part.
  return typeof result === "string" ? `${codec}:${result}` : Buffer.concat([Buffer.from(`${codec}:`), result]);
}

/** The client sends texts much faster than bytes, and of ASCII both are the same. */
function argumentOf(bytes: Uint8Array): string | Buffer {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isAscii(buffer) ? buffer.toString("latin1") : buffer;
}

function endKeys({ record, recovering, held }: KeyPlace): Record<"record" | "recovering" | "held", string> {
  return { record, recovering, held };
}
