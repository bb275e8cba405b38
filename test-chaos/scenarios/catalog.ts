/** The scenarios that come with the suite, by name. */

const names = [
  "lock",
  "quorum",
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

/** Those that start servers of their own, on this machine's loopback, which no pod in a container can reach. */
const withServers: readonly ScenarioName[] = ["quorum", "postgres", "orders"];

/** What can be played by pods in containers. */
export const containedNames: readonly ScenarioName[] = names.filter((name) => !withServers.includes(name));

/** Where the module of a scenario is. */
export function moduleOf(name: ScenarioName): string {
  return new URL(`./${name}.ts`, import.meta.url).href;
}
