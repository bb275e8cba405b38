/**
 * Owns the list of scenarios, in the order in which the demo shows them. A new one joins with one line.
 */
import { pausedHolder } from "@holdfast-examples/paused-holder";
import { rollingDeploy } from "@holdfast-examples/rolling-deploy";
import { scaledScheduler } from "@holdfast-examples/scaled-scheduler";
import type { Scenario } from "@holdfast-examples/stage";

/** Every scenario there is. */
export const scenarios: readonly Scenario[] = [rollingDeploy, scaledScheduler, pausedHolder];
