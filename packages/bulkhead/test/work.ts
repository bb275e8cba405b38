/** Work for tests that is settled by hand, and a turn of the event loop. */

/** Work that the test ends. */
export interface HandWork<Value> {
  readonly promise: Promise<Value>;
  resolve(value: Value): void;
  reject(error: Error): void;
}

/** Work that stays open until the test ends it. */
export function handWork<Value = string>(): HandWork<Value> {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Never settles. */
export function hang(): Promise<never> {
  return new Promise(() => undefined);
}

/** Lets everything settle that can settle by itself. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How a promise has ended so far. */
export function watch(promise: Promise<unknown>): { value?: unknown; error?: unknown; done: boolean } {
  const seen: { value?: unknown; error?: unknown; done: boolean } = { done: false };
  promise.then(
    (value) => Object.assign(seen, { value, done: true }),
    (error: unknown) => Object.assign(seen, { error, done: true }),
  );
  return seen;
}
