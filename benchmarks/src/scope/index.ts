/** The scope against Effect, effection and the bare Promise.all. */
import type { Benchmark } from "../figure.ts";
import { forkJoin } from "./fork-join.ts";
import { retained } from "./retained.ts";

/** All figures of the scope. */
export const scope: Benchmark = { name: "scope", peers: ["effect", "effection"], figures: [forkJoin, retained] };
