/** Those who wait until something is so. They look each time that something may have changed. */
import { onAbort } from "@holdfast/core";

/** The waiting of one worker. */
export class Watchers {
  #watchers: (() => void)[] = [];

  /** Something may have changed. */
  look(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * Resolves as soon as a look finds that it is so; the first is made at once.
   * @throws the signal's reason
   */
  until(isSo: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const finish = (settle: () => void): void => {
        this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
        abort?.cancel();
        settle();
      };
      const look = (): void => {
        if (isSo()) finish(resolve);
      };
      const onEnd = (): void => finish(() => reject(signal?.reason as Error));
      const abort = signal === undefined ? undefined : onAbort(signal, onEnd);
      this.#watchers.push(look);
      look();
    });
  }
}
