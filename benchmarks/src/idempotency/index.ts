/** Idempotency keys against AWS Powertools, @node-idempotency/core and two bare commands. */
import type { Benchmark } from "../figure.ts";
import { waking } from "./duplicates.ts";
import { throughput } from "./throughput.ts";

/** All figures of idempotency. */
export const idempotency: Benchmark = {
  name: "idempotency",
  peers: ["@aws-lambda-powertools/idempotency", "@node-idempotency/core", "ioredis"],
  figures: [...throughput, waking],
};
