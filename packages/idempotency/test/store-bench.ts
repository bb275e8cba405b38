/** The store of one key on the bench's server, for tests of single scripts. */
import { Connection } from "@holdfast/core";
import type { Redis } from "ioredis";
import { beforeEach } from "vitest";
import { KeyLayout } from "../src/keys.ts";
import type { KeyPlace } from "../src/keys.ts";
import { resolveIdempotencyOptions } from "../src/options.ts";
import type { IdempotencyOptions } from "../src/index.ts";
import { AttemptStore } from "../src/store.ts";
import type { EncodedOutcome } from "../src/store.ts";
import { uniqueName } from "./fixture.ts";
import type { Bench } from "./fixture.ts";

/** The fields of a record in their order; a result that holds a colon is not for these tests. */
const recordFields = [
  "version",
  "state",
  "token",
  "print",
  "owner",
  "number",
  "possible",
  "rule",
  "begun",
  "leased",
  "length",
  "refused",
  "operations",
  "ended",
  "codec",
  "result",
] as const;

/** A field of a record. */
export type RecordField = (typeof recordFields)[number];

/** A fingerprint. */
export const print = (text: string): string => text.padEnd(43, ".");

/** A completed outcome. */
export const completed = (text: string): EncodedOutcome => ({
  outcome: "completed",
  codecId: "json",
  bytes: Buffer.from(text),
});

/** Calls of the scripts on one key, which every test has for itself. */
export interface StoreBench {
  readonly place: KeyPlace;
  readonly storeOf: (options?: IdempotencyOptions, redis?: Redis) => AttemptStore;
  /** Claims, and fails when it is not granted. */
  readonly granted: (
    store: AttemptStore,
    owner: string,
  ) => Promise<{ token: number; number: number; recovered: boolean }>;
  readonly finish: (store: AttemptStore, owner: string, token: number) => Promise<{ kind: string }>;
  /** A field of the record, null when there is none. */
  readonly field: (name: RecordField) => Promise<string | null>;
  /** Changes a field of the record, which must be there. */
  readonly setField: (name: RecordField, value: string) => Promise<void>;
}

/** Makes it. */
export function useStoreBench(bench: Bench): StoreBench {
  let place: KeyPlace = new KeyLayout("holdfast", "none").place({ key: "k" });
  beforeEach(() => {
    place = new KeyLayout("holdfast", uniqueName()).place({ key: "k", tenant: "t" });
  });
  return {
    get place() {
      return place;
    },
    storeOf: (options = {}, redis = bench.redis) =>
      new AttemptStore(Connection.of(redis), resolveIdempotencyOptions({ commandTimeoutMs: 60_000, ...options })),
    async granted(store, owner) {
      const answer = await store.claim({ place, owner }, print("f"));
      if (answer.kind !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
      return answer;
    },
    finish: (store, owner, token) =>
      store.finish({ place, owner, token, number: 1, recovered: false, fingerprint: print("f") }, completed('"x"')),
    async field(name) {
      const text = await bench.redis.get(place.record);
      return text === null ? null : (text.split(":")[recordFields.indexOf(name)] ?? null);
    },
    async setField(name, value) {
      const fields = (await bench.redis.get(place.record))?.split(":") ?? [];
      fields[recordFields.indexOf(name)] = value;
      await bench.redis.set(place.record, fields.join(":"), "KEEPTTL");
    },
  };
}
