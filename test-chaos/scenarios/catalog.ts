/** The scenarios that come with the suite, by name. */

const names = [
  "lock",
  "timer",
  "scheduler",
  "idempotency",
  "inventory",
  "bulkhead",
  "scope",
  "postgres",
  "orders",
] as const;

/** What `--only` takes. */
export type ScenarioName = (typeof names)[number];

/** All of them. */
export const scenarioNames: readonly ScenarioName[] = names;

/** Where the module of a scenario is. */
export function moduleOf(name: ScenarioName): string {
  return new URL(`./${name}.ts`, import.meta.url).href;
}
