/** What a scenario of your own needs; the README shows one. */
export { enough, Rule, type Verdict } from "./checkers/verdict.ts";
export { type Operation, operationsOf } from "./history/operation.ts";
export { type Conditions, type RoundRecord } from "./history/record.ts";
export { type Bench, type Scenario } from "./scenarios/scenario.ts";
export { Workplace } from "./scenarios/workplace.ts";
