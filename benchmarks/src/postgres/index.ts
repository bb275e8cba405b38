/** The fence of PostgreSQL against the same transaction without one. */
import type { Benchmark } from "../figure.ts";
import { onSlowDisk, oneRow } from "./one-row.ts";

/** All figures of PostgreSQL. */
export const postgres: Benchmark = { name: "postgres", peers: ["pg"], figures: [oneRow, onSlowDisk] };
