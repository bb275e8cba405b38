/**
 * What every scenario of the demo stands on:
 *
 * ```ts
 * export const rollingDeploy: Scenario = {
 *   name: "rolling-deploy",
 *   failure: "a pod dies with its payment timeouts in memory",
 *   holds: ["@holdfast/timer"],
 *   run: async (stage) => compare(await runWith("memory", stage), await runWith("durable", stage)),
 * };
 * ```
 */
export { cellsOf, rehearse } from "./rehearsal.ts";
export {
  plain,
  wantedZero,
  type Cell,
  type ComparisonRow,
  type Scenario,
  type ScenarioReport,
  type Stage,
} from "./scenario.ts";
export { STARTS_WITHIN, withPods, type StagePods } from "./stage-pods.ts";
export { StageServers } from "./stage-servers.ts";
export { watchStandStill } from "./stand-still.ts";
