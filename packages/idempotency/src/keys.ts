/**
 * Where a key lies in Redis: `holdfast:{idempotency:payments:3f}:record:acme:order-1`.
 *
 * The keys of one name are spread over 256 hash tags. A key's record, whose name is also its channel, and the index that lists it while it
 * is unfinished share one tag, hence one Cluster slot, so that the index changes in the same step as the record. The number of tags is part of the format: a
 * constant, since two numbers in use at once would hide keys from one another.
 */
import { hash } from "node:crypto";
import { checkPrefix, slotOf, text } from "@holdfast/core";

/** What a caller names: a key of a tenant, or of nobody in particular. */
export interface IdempotencyKey {
  /** 1 to 256 bytes. */
  readonly key: string;
  /** 1 to 256 bytes. Keys of different tenants never meet. */
  readonly tenant?: string | undefined;
}

/** The places of one key. */
export interface KeyPlace extends IdempotencyKey {
  /** `idempotency:payments:acme:order-1`, no two keys have the same. */
  readonly resource: string;
  /** Tenant and key as the index carries them: `acme:order-1`. */
  readonly member: string;
  /** Also the channel of the hints. */
  readonly record: string;
  readonly recovering: string;
  readonly held: string;
}

/** The two indexes of unfinished keys in one hash tag. */
export interface IndexPlace {
  readonly recovering: string;
  readonly held: string;
}

/** What the keys of one hash tag have in common. */
interface Shard extends IndexPlace {
  readonly recordHead: string;
}

/** Hash tags per name. */
export const shardCount = 256;

/** Escapes what would end or open a hash tag, and what separates parts; `%` too, so that no two texts become one. */
export function encodePart(part: string): string {
  if (!/[%{}:]/u.test(part)) return part;
  return part.replace(/[%{}:]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Tenant and key of an index entry. */
export function decodeMember(member: string): IdempotencyKey {
  const [tenant = "", key = ""] = member.split(":").map(decodePart);
  return tenant === "" ? { key } : { key, tenant };
}

/** Undoes `encodePart` and nothing else: a `%` of the caller was encoded itself. */
export function decodePart(part: string): string {
  return part.replace(/%(25|7B|7D|3A)/gu, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** The layout of one name. */
export class KeyLayout {
  readonly #prefix: string;
  /** Encoded. */
  readonly #name: string;
  readonly #shards: Shard[] = [];

  /** @throws TypeError, RangeError naming `prefix` or `name` */
  constructor(prefix: string, name: string) {
    this.#prefix = checkPrefix(prefix);
    this.#name = encodePart(text("name", name));
  }

  /** @throws TypeError, RangeError naming `key` or `tenant` */
  place({ key, tenant }: IdempotencyKey): KeyPlace {
    text("key", key);
    if (tenant !== undefined) text("tenant", tenant);
    const member = `${tenant === undefined ? "" : encodePart(tenant)}:${encodePart(key)}`;
    const { recordHead, recovering, held } = this.#shard(slotOf(member) % shardCount);
    return {
      key,
      tenant,
      resource: `idempotency:${this.#name}:${member}`,
      member,
      record: recordHead + member,
      recovering,
      held,
    };
  }

  /** @param shard 0 to 255 */
  index(shard: number): IndexPlace {
    return this.#shard(shard);
  }

  /**
   * A key to hand to whoever acts for us, the same in every attempt and for ever, also when Redis has forgotten everything: a UUID
   * (version 8) made of the names.
   */
  downstreamKey({ resource }: KeyPlace): string {
    const digest = hash("sha256", `holdfast downstream 1\n${this.#prefix}\n${resource}`, "hex");
    const variant = ((Number.parseInt(digest.charAt(16), 16) & 0x3) | 0x8).toString(16);
    return [
      digest.slice(0, 8),
      digest.slice(8, 12),
      `8${digest.slice(13, 16)}`,
      variant + digest.slice(17, 20),
      digest.slice(20, 32),
    ].join("-");
  }

  #shard(shard: number): Shard {
    const known = this.#shards[shard];
    if (known !== undefined) return known;
    const head = `${this.#prefix}:{idempotency:${this.#name}:${shard.toString(16).padStart(2, "0")}}:`;
    const made = { recordHead: `${head}record:`, recovering: `${head}recovering`, held: `${head}held` };
    this.#shards[shard] = made;
    return made;
  }
}
