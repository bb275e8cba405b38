/**
 * What every adapter keeps, over real sockets. An adapter brings a server that hands every request to one handler, which is written once.
 */
import { outcomeContract } from "./outcome-contract.ts";
import { useHttpBench } from "./http-bench.ts";
import type { StartServer } from "./http-bench.ts";
import { requestContract } from "./request-contract.ts";

/** Runs the suite. */
export function httpContract(framework: string, start: StartServer): void {
  const http = useHttpBench(start);
  requestContract(framework, http);
  outcomeContract(framework, http);
}
