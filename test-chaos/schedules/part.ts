/** Owns where one actor acts: its connections, the wire to its servers, its clock, and the lives that it has there. */
import { setTimeout as delay } from "node:timers/promises";
import { random } from "@holdfast/testkit";
import type { FaultProxy, FaultRule, History } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { ChaosEvent } from "../history/event.ts";
import type { Conditions } from "../history/record.ts";
import { Workplace } from "../scenarios/workplace.ts";
import type { Actor, Cast } from "./cast.ts";
import { JumpClock } from "./jump-clock.ts";

/** What every schedule is played under. */
export const conditions: Conditions = { topology: "single", forgets: false, stepsClock: false, healedWithinMs: 0 };
/** Any call ends, or says that it waits: this is for a machine that is very busy. */
export const patienceMs = 3_000;
/** Orders of what is under way between an actor and its server, until nothing follows from anything any more. */
const quietTurns = 3;

/** Where one actor acts. */
export class Part {
  readonly clock: JumpClock = new JumpClock();
  readonly proxies: readonly FaultProxy[];
  private readonly clients: Redis[] = [];
  private readonly stopping = new AbortController();
  private actor: Actor | undefined;
  private frozenAtMs: number | undefined;
  private lives = 0;

  constructor(proxies: readonly FaultProxy[]) {
    this.proxies = proxies;
  }

  async enter(cast: Cast, name: string, prefix: string, history: History<ChaosEvent>): Promise<void> {
    const [redis, ledger] = this.proxies.map((proxy) => {
      const client = new Redis({ host: proxy.host, port: proxy.port, retryStrategy: () => 1 });
      client.on("error", () => undefined);
      this.clients.push(client);
      return client;
    });
    if (redis === undefined || ledger === undefined)
      throw new Error("an actor has two ways: to Redis and to the ledger");
    await Promise.all([redis.ping(), ledger.ping()]);
    this.lives += 1;
    let turns = 0;
    const place = new Workplace({
      scenario: cast.name,
      pod: `${name}.${this.lives}`,
      redis,
      ledger,
      prefix,
      random: random(`${prefix}/${name}/${this.lives}`),
      history: named(history, `${name}.${this.lives}`),
      turn: () => (turns += 1),
      quiet: this.stopping.signal,
      stopping: this.stopping.signal,
      conditions,
      given: {},
    });
    this.actor = await cast.enter(place, this.clock);
  }

  /** Whether something of it is held back on the way. */
  held = false;
  /** What is going to be held back of whatever it sends next. */
  readonly holds: FaultRule[] = [];

  act(action: string, onWaits: () => void): Promise<void> {
    return this.actor?.act(action, onWaits) ?? Promise.resolve();
  }

  /** Resolves when what this actor has sent of itself is answered, and what it made of the answers is, too. */
  async quiet(): Promise<void> {
    const [redis] = this.clients;
    if (redis === undefined) return;
    for (let turn = 0; turn < quietTurns && !this.held; turn += 1) {
      // Behind all that is on its connection; again when that was cut.
      await Promise.race([redis.ping().catch(() => undefined), delay(patienceMs, undefined, { ref: false })]);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** Whether calls may have to wait for another step. */
  get blocked(): boolean {
    return this.held || this.frozenAtMs !== undefined;
  }

  crash(): void {
    this.actor?.vanish();
    for (const client of this.clients.splice(0)) client.disconnect();
    this.clock.stop();
  }

  freeze(): void {
    this.frozenAtMs ??= performance.now();
    this.clock.freeze();
  }

  async thaw(history: History<ChaosEvent>, name: string): Promise<void> {
    if (this.frozenAtMs === undefined) return;
    named(history, `${name}.${this.lives}`).record({ kind: "stood", forMs: performance.now() - this.frozenAtMs });
    this.frozenAtMs = undefined;
    await this.clock.thaw();
  }

  async leave(): Promise<void> {
    this.stopping.abort();
    this.crash();
    for (const proxy of this.proxies) await proxy.close();
  }
}

/** All actors are in this process: each writes under a name of its own. */
function named(history: History<ChaosEvent>, process: string): History<ChaosEvent> {
  return Object.assign(Object.create(history) as History<ChaosEvent>, {
    record: (event: ChaosEvent) => {
      const entry = history.record(event);
      Object.assign(entry, { process });
      return entry;
    },
  });
}
