/** Turns what a client rejects with into our errors: was the command refused, never sent, or is its outcome unknown? */
import { OutcomeUnknownError, RedisRefusedError, RedisUnavailableError } from "./errors.ts";
import type { HoldfastError } from "./errors.ts";

/** Codes with which a server says that it cannot work now, and what to do. Scripts write last (K3), so nothing was done. */
const unavailableAdvice: Readonly<Record<string, string>> = {
  OOM: "raise maxmemory or free memory, and keep maxmemory-policy noeviction",
  READONLY: "this is a replica; with Sentinel set failoverDetector: true, and reconnectOnError for READONLY",
  LOADING: "it is loading its data set; try again when it is up",
  MASTERDOWN: "the replica has lost its master; try again after the failover",
  CLUSTERDOWN: "slots are not served; try again after the failover",
  NOREPLICAS: "fewer replicas than min-replicas-to-write; bring the replicas back",
  MISCONF: "it cannot persist to disk; free disk space",
  BUSY: "a script blocks it; try again",
  TRYAGAIN: "a slot is moving; try again",
  MOVED: "a slot has moved; try again, and use ioredis Cluster if the client does not see a Cluster",
  ASK: "a slot is moving; try again",
  UNBLOCKED: "its role changed; try again",
};

const refusedAdvice: Readonly<Record<string, string>> = {
  WRONGTYPE: "another program uses the key; choose another prefix or delete the key",
  NOPERM: "grant the user what the package's README lists in its ACL line",
  NOAUTH: "give the client a user name and a password",
  WRONGPASS: "the client's user name or password is wrong",
  CROSSSLOT: "the client does not see a Cluster; use ioredis Cluster",
};

/** How Redis 7.0 says NOPERM inside a script, where it has no code of its own. */
const deniedInScript = /can't (?:run this command|access at least one of the keys|publish to the channel)/u;

/** The error code of a server's answer; older servers wrap the code of a failed command in the text of the script's failure. */
export function replyErrorCode(message: string): string {
  const code = /^([A-Z][A-Z0-9_]*)/u.exec(message)?.[1] ?? "ERR";
  if (code !== "ERR") return code;
  if (deniedInScript.test(message)) return "NOPERM";
  const known = [...Object.keys(unavailableAdvice), ...Object.keys(refusedAdvice)];
  return known.find((word) => new RegExp(`[ :-]${word}[ :]`, "u").test(message)) ?? code;
}

/** The code with which a server turned a client away before it was ready, if that is what happened. */
export function handshakeErrorCode(error: unknown): string | undefined {
  const message = error instanceof Error ? error.message : "";
  return /(?:^|: )(NOAUTH|WRONGPASS|NOPERM|LOADING|MASTERDOWN)\b/u.exec(message)?.[1];
}

/** True when the server does not have the script: it was not executed. */
export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}

/** Whether the refusal can have come after a write of the script. */
function couldHaveWritten(reason: string, message: string): boolean {
  // A wrong type is found by a read, and all reads come before the first write (K3).
  if (reason === "WRONGTYPE" || message.includes("Error compiling script")) return false;
  // A permission that is missing inside a script may be missed by its second write; asked of the command itself, it was not executed.
  const insideScript = message.includes("user_script") || message.includes("Error running script");
  return insideScript || refusedAdvice[reason] === undefined;
}

/** A Cluster client that followed redirections until it gave up: each node has said that it did not execute the command. */
const redirectedInVain = /^Too many Cluster redirections\. Last error: ReplyError: (TRYAGAIN|MOVED|ASK|CLUSTERDOWN)\b/u;

/**
 * The error to throw for a rejected command.
 * @param operationId what the caller repeats the call with; null for a call that changes nothing
 * @param resent whether the client may have sent the command again after it had lost a connection: then it is the repeat that was refused,
 *   and the first one may have been executed
 */
export function refusal(operation: string, operationId: string | null, cause: unknown, resent = false): HoldfastError {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (resent && operationId !== null) {
    return new OutcomeUnknownError(operation, operationId, { cause, why: `the connection was lost, then: ${message}` });
  }
  const redirection = redirectedInVain.exec(message)?.[1];
  if (redirection !== undefined) {
    return new RedisUnavailableError(operation, redirection, unavailableAdvice[redirection] ?? message, { cause });
  }
  if (cause instanceof Error && cause.name === "ReplyError") {
    const reason = replyErrorCode(message);
    const advice = unavailableAdvice[reason];
    if (advice !== undefined) return new RedisUnavailableError(operation, reason, advice, { cause });
    const effect = operationId !== null && couldHaveWritten(reason, message) ? "possible" : "none";
    return new RedisRefusedError(operation, reason, refusedAdvice[reason] ?? message, effect, { cause });
  }
  // Said by the client before anything was written to a socket.
  const neverSent =
    message.includes("enableOfflineQueue options is false") || message.includes("Failed to refresh slots cache");
  if (neverSent || operationId === null) {
    return new RedisUnavailableError(operation, "UNREACHABLE", `${message}; check the address and the network`, {
      cause,
    });
  }
  return new OutcomeUnknownError(operation, operationId, { cause, why: message });
}
