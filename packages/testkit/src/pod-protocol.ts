/**
 * What a Pod and the program inside it say to each other over the IPC channel, besides the user's own messages.
 */

/** Marks a message of this package. */
export const podMark = "holdfast:pod";

/** From the test: answer this. */
export interface PodRequest {
  readonly [podMark]: "request";
  readonly id: number;
  readonly name: string;
  readonly payload: unknown;
}

/** From the program: the answer, or why there is none. */
export interface PodReply {
  readonly [podMark]: "reply";
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** From the program: it can be used now. */
export interface PodReady {
  readonly [podMark]: "ready";
  readonly value: unknown;
}

export type PodMessage = PodRequest | PodReply | PodReady;

/** Tells messages of this package from the user's. */
export function isPodMessage(message: unknown): message is PodMessage {
  return typeof message === "object" && message !== null && podMark in message;
}

/** The file descriptor of the control channel inside a pod, and the variable that says so. */
export const controlFd = 4;
export const controlVariable = "HOLDFAST_POD_CONTROL";
