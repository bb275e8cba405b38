/**
 * A PostgreSQL query that ends with its scope. Rejecting a promise does not stop a query: the server is told, by another connection, and
 * the connection that ran the query is thrown away, since the cancellation might otherwise hit the next query on it. It is thrown away
 * first: in a pool whose connections are all busy the cancellation would wait for the very query that it is to end.
 *
 * A connection that breaks emits an error beside the query's own, which ends the process when nobody listens: pools do so only while
 * they have it.
 */
import { onAbort } from "@holdfast/core";
import { enclosing } from "./cancellable.ts";

/** A client as `pg` makes it. */
export interface QueryClient {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  /** @param destroy true to close the connection instead of keeping it */
  release(destroy?: boolean): void;
  on?(event: "error", listener: (error: Error) => void): unknown;
  off?(event: "error", listener: (error: Error) => void): unknown;
  /** The server process that serves this client. */
  readonly processID?: number | null | undefined;
}

/** A pool as `pg` makes it. */
export interface QueryPool {
  connect(): Promise<QueryClient>;
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** The query has the error too. */
const ofTheQuery = (): void => undefined;

/** Waits for a connection as long as the scope goes on. One that comes later goes back as it is: nothing ran on it. */
async function connected(pool: QueryPool, signal: AbortSignal | undefined): Promise<QueryClient> {
  if (signal === undefined) return pool.connect();
  return new Promise((resolve, reject) => {
    const registration = onAbort(signal, () => reject(signal.reason as Error));
    const onClient = (client: QueryClient): void => {
      registration.cancel();
      if (signal.aborted) client.release();
      else resolve(client);
    };
    const onError = (error: unknown): void => {
      registration.cancel();
      reject(error);
    };
    // Async, so that a pool that throws at once is heard like one that rejects.
    (async () => pool.connect())().then(onClient, onError);
  });
}

/**
 * Runs one query on a connection of the pool; the enclosing scope's cancellation stops it on the server.
 * @returns its rows
 * @throws the reason of the cancellation, or what the query throws
 */
export async function cancellableQuery<Row>(pool: QueryPool, text: string, values?: unknown[]): Promise<Row[]> {
  const signal = enclosing()?.signal;
  signal?.throwIfAborted();
  const client = await connected(pool, signal);
  client.on?.("error", ofTheQuery);
  let sent = false;
  let released = false;
  const release = (destroy: boolean): void => {
    if (released) return;
    released = true;
    client.release(destroy);
    client.off?.("error", ofTheQuery);
  };
  const registration =
    signal === undefined
      ? undefined
      : onAbort(signal, () => {
          const { processID } = client;
          release(true);
          // A cancellation that is refused, or comes after the query's end, changes nothing: the connection is closed in any case.
          pool.query("SELECT pg_cancel_backend($1)", [processID]).catch(() => undefined);
        });
  try {
    // It may have been cancelled between the connection and this line.
    signal?.throwIfAborted();
    sent = true;
    const { rows } = await client.query(text, values);
    signal?.throwIfAborted();
    return rows as Row[];
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    registration?.cancel();
    release(sent && signal?.aborted === true);
  }
}
