/**
 * A `pg` pool through a bulkhead. A pool alone has a queue without a deadline and a size that was an assumption about latency; a permit is
 * held as long as the connection is, also when the caller has stopped waiting for its query.
 */
import type { Bulkhead } from "./bulkhead.ts";

/** A client as `pg` makes it. */
export interface PoolClientLike {
  release(destroy?: Error | boolean): void;
}

/** A pool as `pg` makes it. */
export interface PoolLike<Client extends PoolClientLike> {
  query(...args: never[]): unknown;
  connect(): Promise<Client>;
}

/** What the pool's `connect` resolves to; `pg` also has a form with a callback, which an inference would otherwise take. */
type ClientOf<Pool> = Pool extends { connect: { (): Promise<infer Client>; (...args: never[]): void } }
  ? unknown extends Client
    ? Pool extends { connect(): Promise<infer Only> }
      ? Only
      : never
    : Client
  : never;

/** A pool whose queries and connections need a permit. */
export interface WrappedPool<Client, Query> {
  /** As the pool's `query`, in the forms that return a promise. @throws TypeError for a callback, which would be called past the permit */
  readonly query: Query;
  /** As the pool's `connect`; the permit comes back with `release`. The time until then is the call's time. */
  connect(): Promise<Client>;
}

/** Options of `wrapPool`. */
export interface WrapPoolOptions {
  /** True has queries repeated as the bulkhead is configured. Default false: no error of a connection tells what the server has committed. */
  readonly retry?: boolean | undefined;
}

/** Puts a bulkhead before a pool. Give it as many permits as the pool has connections. */
export function wrapPool<Pool extends PoolLike<PoolClientLike>>(
  bulkhead: Pick<Bulkhead, "run">,
  pool: Pool,
  { retry }: WrapPoolOptions = {},
): WrappedPool<ClientOf<Pool>, Pool["query"]> {
  // One statement on one connection: where none came about, nothing was sent.
  const options = retry === true ? { idempotent: true } : { retry: false as const };
  const query = ((...args: never[]) => {
    if (typeof args.at(-1) === "function") {
      throw new TypeError("query takes no callback through a bulkhead; use the promise it returns");
    }
    return bulkhead.run(options, () => pool.query(...args) as PromiseLike<unknown>);
  }) as unknown as Pool["query"];
  // What connects is the pool itself: the client is of its type.
  return { query, connect: () => connectThrough(bulkhead, pool) as Promise<unknown> as Promise<ClientOf<Pool>> };
}

function connectThrough<Client extends PoolClientLike>(
  bulkhead: Pick<Bulkhead, "run">,
  pool: PoolLike<Client>,
): Promise<Client> {
  return new Promise((resolve, reject) => {
    // Once: nobody waits for a second connection.
    const call = bulkhead.run({ retry: false }, async ({ signal }) => {
      const client = await pool.connect();
      if (signal.aborted) {
        // The caller has been told that it got none.
        client.release();
        return;
      }
      await new Promise<void>((done) => {
        const release = client.release.bind(client);
        client.release = (destroy) => {
          client.release = release;
          try {
            release(destroy);
          } finally {
            done();
          }
        };
        resolve(client);
      });
    });
    // After the connection was handed out a timeout reaches nobody here: the permit stays until the release.
    call.catch(reject);
  });
}
