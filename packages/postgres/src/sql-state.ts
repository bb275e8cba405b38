/** What PostgreSQL says with an error: five characters, in the error itself or in what it wraps. */

const causesMax = 8;

/** The fence refused a stale token. A class that neither the SQL standard nor PostgreSQL uses. */
export const staleTokenState = "SF001";
/** The ledger refused movements that do not follow the last one. */
export const ledgerGapState = "SF002";

/** What is read of an error of PostgreSQL. */
export interface SqlError {
  /** The SQLSTATE. */
  readonly state: string;
  readonly detail: string;
  /** Whether its severity says that the session ends with it. A translated severity does not. */
  readonly fatal: boolean;
}

function property(error: unknown, name: string): unknown {
  return typeof error === "object" && error !== null ? (error as Record<string, unknown>)[name] : undefined;
}

/** The error that carries a SQLSTATE: the one given, or the first of its causes; undefined when there is none. */
export function sqlErrorOf(error: unknown): SqlError | undefined {
  let current = error;
  for (let depth = 0; depth < causesMax && current !== undefined; depth += 1) {
    const code = property(current, "code");
    // EPIPE has five characters, too, but no digit.
    if (typeof code === "string" && /^(?=.*\d)[0-9A-Z]{5}$/u.test(code)) {
      const detail = property(current, "detail");
      const severity = property(current, "severity");
      return {
        state: code,
        detail: typeof detail === "string" ? detail : "",
        fatal: severity === "FATAL" || severity === "PANIC",
      };
    }
    current = property(current, "cause");
  }
  return undefined;
}

/** Whether the transaction met another one in a way that a repeat resolves: a serialization failure or a deadlock. */
export function isConflict(error: unknown): boolean {
  const state = sqlErrorOf(error)?.state;
  return state === "40001" || state === "40P01";
}

/** Whether the transaction had failed before: it takes nothing but ROLLBACK. */
export function isFailedTransaction(error: unknown): boolean {
  return sqlErrorOf(error)?.state === "25P02";
}

/** Whether the session was idle in its transaction for longer than the fence allows. */
export function isIdleTimeout(error: unknown): boolean {
  return sqlErrorOf(error)?.state === "25P03";
}

/** Whether the server ended the connection, or broke down, with this error. */
export function endsConnection(error: unknown): boolean {
  const found = sqlErrorOf(error);
  return found !== undefined && (found.fatal || /^(08|57P|25P03|25P04)/u.test(found.state));
}

/**
 * Whether the answer to COMMIT leaves its outcome open: none at all, the end of the connection, or a failure of the server's own. Any other
 * error says that the transaction was rolled back.
 */
export function leavesCommitOpen(error: unknown): boolean {
  const found = sqlErrorOf(error);
  return found === undefined || endsConnection(error) || /^(53|58|XX)/u.test(found.state);
}

/** The names could not be found. */
const lookupFailures = new Set(["ENOTFOUND", "EAI_AGAIN"]);
/**
 * The network's words for a connection that could not be made. A connection that is there may end with them, too, after a statement was
 * sent: a route that is gone, a firewall that has changed its mind. What was being done tells them apart.
 */
const networkRefusals = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOENT"]);

/** Whether what failed was to connect: to one address, or to each of several. */
function failedToConnect(error: unknown): boolean {
  const attempts = property(error, "errors");
  if (Array.isArray(attempts)) return attempts.length > 0 && attempts.every(failedToConnect);
  return property(error, "syscall") === "connect";
}

/** Whether the error says that there was no connection to send a statement on. */
export function neverConnected(error: unknown): boolean {
  const state = sqlErrorOf(error)?.state;
  if (state !== undefined) return /^(28|3D000|53300|57P03|08001|08004)/u.test(state);
  const code = property(error, "code");
  return (
    typeof code === "string" && (lookupFailures.has(code) || (networkRefusals.has(code) && failedToConnect(error)))
  );
}
