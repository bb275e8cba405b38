/** The part of redlock 5.0.0-beta.2 that is measured: its own declarations do not resolve under NodeNext. */
declare module "redlock" {
  export interface RedlockSettings {
    /** Tries after the first; -1 for no limit. */
    readonly retryCount?: number;
    readonly retryDelay?: number;
    readonly retryJitter?: number;
  }
  export interface RedlockLock {
    release(): Promise<unknown>;
  }
  export default class Redlock {
    constructor(clients: Iterable<object>, settings?: RedlockSettings);
    on(event: "error", listener: (error: unknown) => void): this;
    acquire(resources: string[], durationMs: number): Promise<RedlockLock>;
    using<Value>(
      resources: string[],
      durationMs: number,
      routine: (signal: AbortSignal) => Promise<Value>,
    ): Promise<Value>;
  }
}
