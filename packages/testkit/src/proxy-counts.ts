/**
 * The witnesses of a proxy: how often each fault really hit something. A test in which nothing was hit has shown nothing.
 */

/** Counts since the proxy started. */
export interface FaultCounts {
  /** Connections taken, refused ones not included. */
  connections: number;
  /** Pieces of data sent with latency. */
  delayed: number;
  /** Pieces of data that met a blackhole and were held. */
  blackholed: number;
  /** Pieces of held data that were thrown away when the blackhole ended with `{ held: "drop" }`. */
  dropped: number;
  /** Open connections that were reset. */
  reset: number;
  /** Connections that were refused with `{ how: "reset" }`. A closed port refuses in the kernel, unseen. */
  refused: number;
  /** Replies that were swallowed after the server had executed their request. */
  swallowed: number;
  /** Extra executions of a request by the server. */
  repeated: number;
  /** Requests or replies held back by `hold`. */
  held: number;
}

/** All at zero. */
export function noFaults(): FaultCounts {
  return {
    connections: 0,
    delayed: 0,
    blackholed: 0,
    dropped: 0,
    reset: 0,
    refused: 0,
    swallowed: 0,
    repeated: 0,
    held: 0,
  };
}
