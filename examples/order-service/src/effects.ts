/**
 * Owns what an error may say of a request. "No effect" is said of the call that failed, and the key of the request would believe it of the
 * whole request: free for another payload, as if nothing had happened.
 */

/**
 * Does what follows on an effect of this request.
 *
 * @param effect what has happened, for the log.
 * @throws what `rest` throws; inside an Error when it says that it had no effect.
 */
export async function afterEffect<Value>(effect: string, rest: () => Promise<Value>): Promise<Value> {
  try {
    return await rest();
  } catch (error) {
    if ((error as { readonly effect?: unknown } | null)?.effect !== "none") throw error;
    throw new Error(`${effect}, and what follows was not done`, { cause: error });
  }
}
