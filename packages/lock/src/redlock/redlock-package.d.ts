/** The part of redlock 5.0.0-beta.2 that we use: its own declarations do not resolve under NodeNext. */
declare module "redlock" {
  export interface RedlockLock {
    readonly value: string;
    expiration: number;
  }
  export interface RedlockSettings {
    readonly retryCount?: number;
    readonly driftFactor?: number;
    readonly retryDelay?: number;
    readonly retryJitter?: number;
  }
  export interface RedlockScripts {
    readonly acquireScript?: (text: string) => string;
    readonly extendScript?: (text: string) => string;
    readonly releaseScript?: (text: string) => string;
  }
  export default class Redlock {
    constructor(clients: Iterable<object>, settings?: RedlockSettings, scripts?: RedlockScripts);
    readonly clients: Set<object>;
    acquire(resources: string[], durationMs: number, settings?: RedlockSettings): Promise<RedlockLock>;
    extend(lock: RedlockLock, durationMs: number, settings?: RedlockSettings): Promise<RedlockLock>;
    release(lock: RedlockLock, settings?: RedlockSettings): Promise<unknown>;
    using(...args: never[]): Promise<unknown>;
  }
}
