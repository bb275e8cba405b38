/** What a process of the history suite writes down. */

/** One thing it did or saw; `name` is the lock. */
export type HistoryEvent =
  | { readonly kind: "granted"; readonly name: string; readonly token: number; readonly askedAtMs: number }
  | { readonly kind: "not-granted"; readonly name: string; readonly error: string }
  | { readonly kind: "writing"; readonly name: string; readonly token: number; readonly operationId: string }
  | { readonly kind: "accepted"; readonly name: string; readonly token: number; readonly operationId: string }
  | { readonly kind: "refused"; readonly name: string; readonly token: number; readonly operationId: string }
  | {
      readonly kind: "unknown";
      readonly name: string;
      readonly token: number;
      readonly operationId: string;
      readonly error: string;
    };
