/**
 * Owns the list of scenarios, in the order in which the demo shows them. A new one joins with one line.
 */
import { flashSale } from "@holdfast-examples/flash-sale";
import { pausedHolder } from "@holdfast-examples/paused-holder";
import { redelivery } from "@holdfast-examples/redelivery";
import { rollingDeploy } from "@holdfast-examples/rolling-deploy";
import { scaledScheduler } from "@holdfast-examples/scaled-scheduler";
import { slowDependency } from "@holdfast-examples/slow-dependency";
import type { Scenario } from "@holdfast-examples/stage";
import { zombieSubtasks } from "@holdfast-examples/zombie-subtasks";

/** Every scenario there is. */
export const scenarios: readonly Scenario[] = [
  rollingDeploy,
  scaledScheduler,
  redelivery,
  flashSale,
  slowDependency,
  pausedHolder,
  zombieSubtasks,
];
