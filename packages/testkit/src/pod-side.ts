/**
 * The other side of a Pod: what the program inside it calls to be asked and to say that it is ready. Without a Pod around it, both
 * functions do nothing, so the same program also runs by hand.
 */
import { isPodMessage, podMark, type PodMessage } from "./pod-protocol.ts";

/** Answers to the requests of a test, by name. */
export type PodHandlers = Readonly<Record<string, (payload: never) => unknown>>;

/**
 * Answers `pod.request(name, payload)` with what `handlers[name](payload)` returns or resolves to. An error it throws rejects the
 * request in the test, with the same message. Keeps the program running while the test is connected.
 */
export function servePod(handlers: PodHandlers): void {
  process.on("message", (message: unknown) => {
    if (isPodMessage(message) && message[podMark] === "request")
      void answer(handlers, message.id, message.name, message.payload);
  });
}

/** Resolves `pod.ready()` in the test with `value`, such as the port the program listens on. */
export function reportReady(value?: unknown): void {
  say({ [podMark]: "ready", value });
}

async function answer(handlers: PodHandlers, id: number, name: string, payload: unknown): Promise<void> {
  try {
    const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
    if (handler === undefined) throw new Error(`This pod has no handler named ${JSON.stringify(name)}.`);
    // The payload crossed a process border: its type is whatever both sides agreed on.
    say({ [podMark]: "reply", id, value: await handler(payload as never) });
  } catch (error) {
    say({ [podMark]: "reply", id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

function say(message: PodMessage): void {
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}
