/** An operator's decision on a key that no live attempt holds, and how it is stored. */
import { oneOf, optionsObject } from "@holdfast/core";
import type { Effect } from "@holdfast/core";
import { ResultNotStoredError } from "./errors.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import { encodeFailure, failureCodecId } from "./stored-error.ts";

/** What an operator says became of a key. */
export type Resolution =
  | { readonly kind: "completed"; readonly value: unknown }
  | { readonly kind: "failed"; readonly error: unknown }
  | {
      /** Nothing happened, or it does not matter: the next call runs. */
      readonly kind: "released";
      /** `"none"` (default) when that is certain; with `"possible"` the next attempt has `recovered: true`. */
      readonly effect?: Effect | undefined;
    };

/** What `resolve` answers. */
export type ResolveAnswer =
  | { readonly kind: "resolved" }
  | { readonly kind: "in-progress"; readonly retryAfterMs: number }
  | { readonly kind: "already-completed" | "already-failed" | "absent" };

/** A decision, encoded. */
export interface EncodedResolution {
  readonly outcome: "completed" | "failed" | "released";
  readonly effect: Effect;
  readonly codecId: string;
  readonly bytes: Uint8Array;
}

/** @throws TypeError for what is no decision; ResultNotStoredError, and what the codec throws, for a value that cannot be stored */
export function encodeResolution(
  resource: string,
  resolution: Resolution,
  { resultBytesMax, codec }: Pick<ResolvedIdempotencyOptions, "resultBytesMax" | "codec">,
): EncodedResolution {
  optionsObject("outcome", resolution);
  oneOf("outcome.kind", resolution.kind, ["completed", "failed", "released"]);
  switch (resolution.kind) {
    case "completed": {
      const bytes = codec.encode(resolution.value);
      if (bytes.length > resultBytesMax) {
        const detail = `${bytes.length} bytes, resultBytesMax is ${resultBytesMax}`;
        throw new ResultNotStoredError(resource, "too-large", detail);
      }
      return { outcome: "completed", effect: "possible", codecId: codec.id, bytes };
    }
    case "failed": {
      const bytes = encodeFailure(resolution.error, resultBytesMax);
      return { outcome: "failed", effect: "possible", codecId: failureCodecId, bytes };
    }
    case "released": {
      const effect = oneOf("outcome.effect", resolution.effect ?? "none", ["none", "possible"]);
      return { outcome: "released", effect, codecId: "", bytes: Buffer.alloc(0) };
    }
  }
}
