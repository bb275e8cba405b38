/** The actors of the random suite: two in this process, each behind a proxy of its own, and two processes. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, Pod, type SeededRandom } from "@holdfast/testkit";
import type { Pool } from "pg";
import type { Transaction } from "../../src/index.ts";
import { beforeCommit, type Database } from "../database.ts";
import { commitTimeoutMs, idleMs, type Order, perform, type Report, resolveMs } from "./work.ts";

/**
 * `terminate`: PostgreSQL ends the sessions. `cut`: the connections break. `lost answer`: COMMIT arrives and its answer does not. `lost
 * commit`: COMMIT does not arrive. `mute`: nothing is heard for longer than anybody asks. `pause`, `kill`: of a process.
 */
export type Fault = "none" | "terminate" | "cut" | "lost answer" | "lost commit" | "mute" | "pause" | "kill";

/** Somebody who runs orders, and can be harmed. */
export interface Actor {
  readonly name: string;
  readonly faults: readonly Fault[];
  perform(order: Order): Promise<Report>;
  /**
   * Does harm while orders are under way; resolves when it is over.
   * @param others resolves when nobody else has anything to do: a pause lasts for so long (P2)
   */
  harm(fault: Fault, random: SeededRandom, others: Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

/** An actor in this process. */
export class NearActor implements Actor {
  readonly name: string;
  readonly faults: readonly Fault[] = ["terminate", "cut", "lost answer", "lost commit", "mute"];
  readonly #database: Database;
  readonly #proxy: FaultProxy;
  readonly #pool: Pool;
  /** What the next COMMIT meets. */
  #loss: "lost answer" | "lost commit" | "mute" | undefined;
  #met = Promise.withResolvers<void>();

  private constructor(name: string, database: Database, proxy: FaultProxy) {
    this.name = name;
    this.#database = database;
    this.#proxy = proxy;
    this.#pool = database.open({ max: 6, application_name: name, connectionTimeoutMillis: 500 }, proxy);
  }

  static async start(name: string, database: Database): Promise<NearActor> {
    return new NearActor(name, database, await FaultProxy.start(database.server, { protocol: "tcp" }));
  }

  perform(order: Order): Promise<Report> {
    return perform(this.#pool, order, (tx) => this.#arm(tx));
  }

  #arm(tx: Transaction): void {
    const loss = this.#loss;
    if (loss === undefined) return;
    this.#loss = undefined;
    beforeCommit(tx, () => {
      this.#proxy.blackhole(loss === "lost commit" ? "both" : "down");
      this.#met.resolve();
    });
  }

  async harm(fault: Fault, random: SeededRandom): Promise<void> {
    if (fault === "terminate" || fault === "cut") {
      await delay(random.int(3, 25));
      if (fault === "cut") this.#proxy.reset();
      else await this.#endSessions();
    } else if (fault === "lost answer" || fault === "lost commit" || fault === "mute") {
      this.#met = Promise.withResolvers();
      this.#loss = fault;
      await Promise.race([this.#met.promise, delay(200)]);
      this.#loss = undefined;
      await delay(fault === "mute" ? commitTimeoutMs + resolveMs + 200 : random.int(5, 30));
      await this.#proxy.heal({ held: "drop" });
      this.#proxy.reset();
    }
  }

  async #endSessions(): Promise<void> {
    await this.#database.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'",
      [this.name],
    );
  }

  async stop(): Promise<void> {
    await this.#proxy.close();
  }
}

/** An actor in a process of its own. */
export class FarActor implements Actor {
  readonly name: string;
  readonly faults: readonly Fault[] = ["pause", "pause", "kill"];
  readonly #database: Database;
  #pod: Pod;
  /** Starts while the other one works, so that a kill costs no time. */
  #spare: Promise<Pod>;

  private constructor(name: string, database: Database, pod: Pod) {
    this.name = name;
    this.#database = database;
    this.#pod = pod;
    this.#spare = this.#start();
  }

  static async start(name: string, database: Database): Promise<FarActor> {
    return new FarActor(name, database, await startPod(database));
  }

  async perform(order: Order): Promise<Report> {
    try {
      return await this.#pod.request<Report>("perform", order);
    } catch (error) {
      if (this.#pod.isRunning && !String(error).includes("ended")) throw error;
      return { order, outcome: "lost", tookMs: 0 };
    }
  }

  async harm(fault: Fault, random: SeededRandom, others: Promise<unknown>): Promise<void> {
    await delay(random.int(3, 25));
    if (fault === "pause") {
      this.#pod.pause();
      await Promise.all([others, delay(idleMs + 50)]);
      this.#pod.resume();
    } else if (fault === "kill") {
      const dead = this.#pod;
      this.#pod = await this.#spare;
      await dead.kill();
      this.#spare = this.#start();
    }
  }

  #start(): Promise<Pod> {
    const starting = startPod(this.#database);
    starting.catch(() => undefined);
    return starting;
  }

  async stop(): Promise<void> {
    await this.#pod.kill();
    await (await this.#spare).kill();
  }
}

async function startPod(database: Database): Promise<Pod> {
  const pod = await Pod.start(new URL("../pods/random.pod.ts", import.meta.url), {
    env: { DATABASE_URL: database.server.url },
  });
  await pod.ready();
  await pod.request("warm");
  return pod;
}
