/** Leaves work that cannot be stopped when its caller has given up: the caller is told at once, the work ends in the background. */
import { onAbort } from "@holdfast/core";

/**
 * @param signals the first that aborts ends the wait, with its reason
 * @param onUnheard takes what the work came to after its caller had left; must not throw
 */
export function untilAborted<Value>(
  work: Promise<Value>,
  signals: readonly AbortSignal[],
  onUnheard: (value: Value) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    let left = false;
    const listening = signals.map((signal) =>
      onAbort(signal, () => {
        left = true;
        reject(signal.reason as Error);
      }),
    );
    const stop = (): void => {
      for (const each of listening) each.cancel();
    };
    work.then(
      (value) => {
        stop();
        // Between the end of the work and this turn the signal may have aborted.
        if (left) onUnheard(value);
        else resolve(value);
      },
      (error: unknown) => {
        stop();
        reject(error);
      },
    );
  });
}
