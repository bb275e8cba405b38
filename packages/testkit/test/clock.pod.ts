/** A program for clock-skew.test.ts. */
import { reportReady, servePod } from "../src/index.ts";

servePod({ clocks: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }) });
reportReady();
