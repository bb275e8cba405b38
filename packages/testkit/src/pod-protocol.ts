/**
 * What a Pod and the program inside it say to each other over the IPC channel, besides the user's own messages.
 */

/** Marks a message of this package. */
export const POD = "holdfast:pod";

/** From the test: answer this. */
export interface PodRequest {
  readonly [POD]: "request";
  readonly id: number;
  readonly name: string;
  readonly payload: unknown;
}

/** From the program: the answer, or why there is none. */
export interface PodReply {
  readonly [POD]: "reply";
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** From the program: it can be used now. */
export interface PodReady {
  readonly [POD]: "ready";
  readonly value: unknown;
}

export type PodMessage = PodRequest | PodReply | PodReady;

/** Tells messages of this package from the user's. */
export function isPodMessage(message: unknown): message is PodMessage {
  return typeof message === "object" && message !== null && POD in message;
}

/** The file descriptor of the control channel inside a pod, and the variable that says so. */
export const CONTROL_FD = 4;
export const CONTROL_VARIABLE = "HOLDFAST_POD_CONTROL";
