/** The part of redlock 5.0.0-beta.2 that is measured, with its types. */
import untyped from "redlock";

/** Settings, for each of which it has a default. */
export interface RedlockSettings {
  /** Tries after the first; -1 for no limit. */
  readonly retryCount?: number;
  readonly retryDelay?: number;
  readonly retryJitter?: number;
}

/** A lock that is held. */
export interface RedlockLock {
  release(): Promise<unknown>;
}

/** Locks on some servers. */
export interface RedlockLocks {
  on(event: "error", listener: (error: unknown) => void): this;
  acquire(resources: string[], durationMs: number): Promise<RedlockLock>;
  using<Value>(
    resources: string[],
    durationMs: number,
    routine: (signal: AbortSignal) => Promise<Value>,
  ): Promise<Value>;
}

/** The class itself. */
export const Redlock: new (clients: Iterable<object>, settings?: RedlockSettings) => RedlockLocks = untyped;
