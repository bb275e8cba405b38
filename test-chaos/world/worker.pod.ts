/** The program of every pod: loads the scenarios it is told, works, and says when it is quiet. */
import { setTimeout as delay } from "node:timers/promises";
import { random, reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { ScenarioModule } from "../scenarios/scenario.ts";
import { Workplace } from "../scenarios/workplace.ts";
import { connect } from "./client.ts";
import { collectFor } from "./long-collection.ts";
import { WatchedHistory } from "./loop-watch.ts";
import type { PodOrder } from "./pod-order.ts";

const order = JSON.parse(process.env["CHAOS_POD"] ?? "") as PodOrder;
const history = new WatchedHistory({ path: order.historyPath, process: order.pod });
const quiet = new AbortController();
const stopping = new AbortController();
/** Whoever asks it to end kills it after less; this is for a pod that nobody waits for. */
const graceMs = 30_000;
let turns = 0;

async function work(): Promise<void> {
  const redis = connect(order.redis);
  const ledger = new Redis({ ...order.ledger, retryStrategy: () => 50 });
  ledger.on("error", () => undefined);
  const modules = await Promise.all(order.modules.map((url) => import(url) as Promise<ScenarioModule>));
  const works = modules.map(({ scenario }) =>
    scenario.work(
      new Workplace({
        scenario: scenario.name,
        pod: order.pod,
        redis,
        ledger,
        prefix: order.prefix,
        random: random(`${order.seed}/${order.pod}/${scenario.name}`),
        history,
        turn: () => (turns += 1),
        quiet: quiet.signal,
        stopping: stopping.signal,
        conditions: order.conditions,
        given: order.given[scenario.name] ?? {},
      }),
    ),
  );
  reportReady();
  process.stdout.write("at work\n");
  await Promise.all(works);
  redis.disconnect();
  ledger.disconnect();
}

servePod({
  quiet: () => quiet.abort(),
  collect: (ms: number) => {
    // Answered first: the asker waits for the beginning, not for the end.
    setTimeout(() => collectFor(ms), 5);
  },
});
process.on("SIGTERM", () => {
  quiet.abort();
  stopping.abort();
  void delay(graceMs).then(() => process.exit(3));
});
// In a container there is no channel to a runner: it says what it has to say by signals and reads a line.
process.on("SIGUSR2", () => quiet.abort());
process.on("unhandledRejection", (error) => {
  history.record({
    kind: "noted",
    scenario: "process",
    what: "unhandled",
    resource: order.pod,
    values: { error: error instanceof Error ? (error.stack ?? error.message).slice(0, 500) : String(error) },
  });
});
await work();
process.exit(0);
