/**
 * Owns the order of events: servers, scenarios one after the other, tables, and what the exit status says.
 */
import { styleText } from "node:util";
import { StageServers, type Scenario } from "@holdfast-examples/stage";
import type { Screen } from "@holdfast-examples/stage/screen";
import type { DemoOptions } from "./command-line.ts";
import { comparisonTable, held, summaryTable, type Shown } from "./tables.ts";

/**
 * Shows the scenarios. Every server and process it started has ended when it settles.
 *
 * @returns whether Holdfast held in all of them.
 * @throws the signal's reason, when that aborts before the last scenario has ended.
 */
export async function showAll(
  options: DemoOptions,
  screen: Screen,
  signal: AbortSignal,
  redisUrl: string | undefined,
): Promise<boolean> {
  await using servers = new StageServers(redisUrl);
  const startMs = performance.now();
  await Promise.all([servers.redis(), servers.postgres()]);
  screen.say(styleText("dim", `Redis and PostgreSQL are up (${seconds(performance.now() - startMs)})`));
  const shown: Shown[] = [];
  for (const scenario of options.scenarios) {
    signal.throwIfAborted();
    shown.push(await showOne(scenario, options, servers, screen, signal));
    signal.throwIfAborted();
  }
  screen.say("");
  screen.say(summaryTable(shown));
  if (options.keep) await keep(servers, screen, signal);
  return shown.every(held);
}

async function showOne(
  scenario: Scenario,
  { quick, seed }: DemoOptions,
  servers: StageServers,
  screen: Screen,
  signal: AbortSignal,
): Promise<Shown> {
  const { name, failure, holds } = scenario;
  screen.say("");
  screen.say(`${styleText("bold", name)}: ${failure}`);
  screen.say(styleText("dim", `  what holds: ${holds.join(", ")} · seed ${seed}`));
  const startMs = performance.now();
  try {
    const report = await scenario.run({
      signal,
      quick,
      seed,
      servers,
      say: (line) => screen.say(line),
      show: (lines) => screen.show(lines),
    });
    screen.show([]);
    screen.say(comparisonTable(report));
    return { name, tookMs: performance.now() - startMs, result: { report } };
  } catch (error) {
    screen.show([]);
    if (signal.aborted) throw signal.reason;
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    screen.say(styleText("red", `✗ ${name} could not be shown: ${words}`));
    return { name, tookMs: performance.now() - startMs, result: { error } };
  }
}

async function keep(servers: StageServers, screen: Screen, signal: AbortSignal): Promise<void> {
  screen.say("");
  screen.say("The servers stay up until Ctrl-C:");
  for (const line of await servers.addresses()) screen.say(`  ${line}`);
  // A pending promise alone keeps no process alive.
  const alive = setInterval(() => undefined, 60_000);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(alive);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
