/**
 * Plays one schedule: real scripts on a real server, the wire between each actor and the server in our hands, and a clock that goes where
 * the schedule says. The history is checked by the rules of the scenario.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, History, random } from "@holdfast/testkit";
import type { ClockSkew, FaultRule, HoldRule, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { Verdict } from "../checkers/verdict.ts";
import type { ChaosEntry, ChaosEvent } from "../history/event.ts";
import { recordOf } from "../history/record.ts";
import type { RoundRecord } from "../history/record.ts";
import { PathWatch } from "../scenarios/path-watch.ts";
import type { Cast } from "./cast.ts";
import { LateRequests } from "./late-requests.ts";
import { conditions, Part, patienceMs } from "./part.ts";
import type { Fate, Step } from "./step.ts";

/** The servers, and the hand on their clock. */
export interface Theatre {
  readonly server: RedisServer;
  readonly ledger: RedisServer;
  readonly skew: ClockSkew;
}

/** What a schedule came to. */
export interface Played {
  readonly record: RoundRecord;
  /** The rules that it broke; how much happened is judged over all schedules together. */
  readonly broken: readonly Verdict[];
  /** How often the network did what the schedule said. */
  readonly struck: Readonly<Record<Exclude<Fate, "pass">, number>>;
}

/** Actors of every schedule. */
export const actorCount = 3;
const scripts = /^eval(sha)? /i;
/** A call behind a request that is on its way, or of an actor that stands still, may have to wait for another step. */
const blockedMs = 100;
const curtainMs = 8_000;
/** Calls on the stage are given up after two seconds, those of its hands by then, too. */
const slowMaxMs = 1_000;
const triesMax = 20;
let plays = 0;

class Play {
  private readonly cast: Cast;
  private readonly theatre: Theatre;
  private readonly history = new History<ChaosEvent>({ process: "stage" });
  private readonly parts: Part[] = [];
  private readonly late: HoldRule[] = [];
  private readonly requests: LateRequests;
  private readonly armed: { readonly part: Part; readonly fate: Exclude<Fate, "pass">; readonly rule: FaultRule }[] =
    [];
  private strikes = 0;
  private isFull = false;
  private readonly pending = new Map<Promise<void>, Part>();
  private readonly struck = { lose: 0, late: 0, mute: 0, twice: 0 };
  private readonly prefix: string;
  /** Past all actors, to the server of the primitive. */
  private readonly direct: Redis;

  constructor(cast: Cast, theatre: Theatre) {
    this.cast = cast;
    this.theatre = theatre;
    plays += 1;
    this.prefix = `play-${process.pid}-${plays}`;
    this.direct = new Redis(theatre.server.url);
    this.requests = new LateRequests(cast.name);
  }

  async run(steps: readonly Step[]): Promise<Played> {
    const { server, ledger } = this.theatre;
    const { direct } = this;
    const resources = new Redis(ledger.url);
    const bench = {
      redis: direct,
      ledger: resources,
      prefix: this.prefix,
      random: random(this.prefix),
      conditions,
      given: {},
      own: () => undefined,
      entries: () => Promise.resolve(this.history.entries),
      note: (what: string, resource: string, values = {}) =>
        void this.history.record({ kind: "noted", scenario: this.cast.name, what, resource, values }),
    };
    try {
      await this.align();
      await this.cast.scenario.prepare?.(bench);
      for (let index = 0; index < actorCount; index += 1) {
        const part = new Part([await FaultProxy.start(server), await FaultProxy.start(ledger)]);
        this.parts.push(part);
        await part.enter(this.cast, `actor-${index}`, this.prefix, this.history);
      }
      for (const step of steps) await this.step(step);
      await this.curtain();
      await this.cast.scenario.settle?.(bench);
      const findings = { [this.cast.name]: await this.cast.scenario.inspect?.(bench) };
      this.history.record({ kind: "phase", phase: "finished" });
      const entries: readonly ChaosEntry[] = this.history.entries;
      const record = recordOf(entries, conditions, findings);
      const verdicts = [...this.cast.scenario.check(record), this.requests.verdict];
      const broken = verdicts.filter(({ held, rule }) => !held && !rule.startsWith("enough"));
      return { record, broken, struck: this.struck };
    } finally {
      for (const part of this.parts) await part.leave();
      await this.recover();
      direct.disconnect();
      resources.disconnect();
    }
  }

  private async step(step: Step): Promise<void> {
    switch (step.kind) {
      case "act":
        if (step.fate !== "pass") this.mark(step.fate, step.actor);
        return this.act(this.part(step.actor), step.action, step.fate);
      case "advance":
        return this.advance(step.ms);
      case "deliver":
        return this.deliver();
      case "forget":
        await this.theatre.server.call("SCRIPT", "FLUSH");
        return undefined;
      case "hush":
      case "full":
      case "room":
        this.mark(step.kind);
        return this.afflict(step.kind);
      case "next":
        return this.arm(step.actor, step.fate);
      case "freeze":
        this.mark("freeze", step.actor);
        return this.part(step.actor).freeze();
      case "thaw":
        return this.part(step.actor).thaw(this.history, `actor-${step.actor % actorCount}`);
      case "crash": {
        this.mark("crash", step.actor);
        const part = this.part(step.actor);
        await part.thaw(this.history, `actor-${step.actor % actorCount}`);
        part.crash();
        // It sends nothing any more: what would have met that does not wait for its successor.
        for (const { part: owner, rule } of this.armed) if (owner === part) rule.cancel();
        part.holds.splice(0);
        // Nobody waits any more for what a life that has ended had begun.
        for (const [work, owner] of this.pending) if (owner === part) this.pending.delete(work);
        return part.enter(this.cast, `actor-${step.actor % actorCount}`, this.prefix, this.history);
      }
    }
  }

  private part(actor: number): Part {
    const part = this.parts[actor % actorCount];
    if (part === undefined) throw new RangeError(`there is no actor ${actor}`);
    return part;
  }

  private async act(part: Part, action: string, fate: Fate): Promise<void> {
    const rules = fate === "pass" ? [] : part.proxies.map((proxy) => this.aim(part, proxy, fate));
    const waits = Promise.withResolvers<void>();
    const work = part.act(action, waits.resolve).catch(() => undefined);
    this.pending.set(work, part);
    void work.then(() => this.pending.delete(work));
    const over = new AbortController();
    const patience = delay(part.blocked ? blockedMs : patienceMs, undefined, { signal: over.signal });
    // Whoever waits for something that is held back waits for another step.
    const holds = fate === "late" || fate === "mute" ? [...rules, ...part.holds] : part.holds;
    const held = holds.filter(({ hits }) => hits === 0).map((rule) => rule.hit);
    await Promise.race([work, waits.promise, ...held, patience.catch(() => undefined)]);
    over.abort();
    if (fate === "pass") return;
    const hit = rules.some(({ hits }) => hits > 0);
    const [toServer, ...others] = rules;
    for (const rule of hit ? rules : others) rule.cancel();
    if (hit) {
      this.struck[fate] += 1;
      if (fate === "late" || fate === "mute") part.held = true;
      return;
    }
    // What lets go of a handler is over before the handler has sent anything: it is the next script that is meant.
    if (toServer !== undefined) this.keep(part, fate, toServer);
  }

  private aim(part: Part, proxy: FaultProxy, fate: Exclude<Fate, "pass">): FaultRule {
    if (fate === "lose") return proxy.swallowReply(scripts);
    if (fate === "twice") return proxy.repeat(scripts, { keep: "last" });
    const [toServer] = part.proxies;
    const rule = proxy.hold(fate === "late" ? "request" : "reply", (command) => {
      if (!scripts.test(command.join(" "))) return false;
      if (fate === "late" && proxy === toServer) this.requests.holdsBack(command);
      return true;
    });
    this.late.push(rule);
    return rule;
  }

  /** The next script that an actor sends to the server of the primitive, whenever that is. */
  private arm(actor: number, fate: Exclude<Fate, "pass">): void {
    this.mark(fate, actor);
    const part = this.part(actor);
    const [proxy] = part.proxies;
    if (proxy === undefined) return;
    this.keep(part, fate, this.aim(part, proxy, fate));
  }

  private keep(part: Part, fate: Exclude<Fate, "pass">, rule: FaultRule): void {
    this.armed.push({ part, fate, rule });
    if (fate !== "late" && fate !== "mute") return;
    part.holds.push(rule);
    void rule.hit.then(() => (part.held = true));
  }

  /** What was done to whom, or to all, is in the history; on the stage it ends with the schedule. */
  private mark(nemesis: string, actor?: number): void {
    this.strikes += 1;
    const whom = actor === undefined ? this.parts.keys() : [actor % actorCount];
    const pods = Array.from(whom, (index) => `actor-${index}`);
    this.history.record({ kind: "fault", nemesis, strike: this.strikes, phase: "begin", pods, what: nemesis });
  }

  private async advance(ms: number): Promise<void> {
    const { skew } = this.theatre;
    const advanced = { scenario: this.cast.name, what: "advanced", resource: "clock", values: { ms } };
    this.history.record({ kind: "noted", ...advanced });
    // An answer that the server gives after its jump must not reach an actor before his own: he would take the server for that much ahead.
    await this.quiet();
    for (const part of this.parts) part.clock.jump(ms);
    await skew.set(skew.offsetMs + ms);
    for (const part of this.parts) await part.clock.fireDue();
    // What the jump set off reaches the server and comes back.
    await this.quiet();
    await delay(5);
  }

  private async quiet(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.quiet()));
  }

  /** A schedule begins at the same place of a rhythm, whenever that is. */
  private async align(): Promise<void> {
    const { server, skew } = this.theatre;
    const { rhythmMs } = this.cast;
    if (rhythmMs === undefined) return;
    const [seconds, micros] = (await server.call("TIME")) as [string, string];
    const nowMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    await skew.set(skew.offsetMs + Math.ceil(rhythmMs - (nowMs % rhythmMs)));
  }

  private async afflict(how: "hush" | "full" | "room"): Promise<void> {
    const { server } = this.theatre;
    if (how !== "hush") this.isFull = how === "full";
    if (how === "hush") await server.call("ACL", "SETUSER", "default", "-publish", "-spublish");
    else await server.call("CONFIG", "SET", "maxmemory", how === "full" ? "1" : "0");
  }

  private async recover(): Promise<void> {
    await this.theatre.server.call("ACL", "SETUSER", "default", "+publish", "+spublish");
    await this.afflict("room");
  }

  private async deliver(): Promise<void> {
    // Without memory a server takes no script into a transaction: what arrives then is not looked at.
    if (this.isFull) this.requests.forget();
    else await this.requests.arrive(this.direct);
    for (const rule of this.late.splice(0)) rule.release();
    for (const part of this.parts) part.held = false;
    await delay(5);
  }

  /** Nothing is held back any more, and time passes until nothing is under way. */
  private async curtain(): Promise<void> {
    await this.recover();
    for (const { fate, rule } of this.armed) {
      this.struck[fate] += rule.hits > 0 ? 1 : 0;
      rule.cancel();
    }
    await this.deliver();
    for (const [index, part] of this.parts.entries()) await part.thaw(this.history, `actor-${index}`);
    this.history.record({ kind: "phase", phase: "healed" });
    const untilMs = performance.now() + curtainMs;
    for (let turn = 0; turn < 4 || (this.pending.size > 0 && performance.now() < untilMs); turn += 1) {
      for (const part of this.parts) await Promise.race([part.act("rest", () => undefined), delay(blockedMs)]);
      await this.advance(this.cast.restMs);
      await delay(15);
    }
  }
}

/**
 * Plays a schedule to its end; again from its beginning when the machine stood still meanwhile, which no schedule says.
 * @throws Error when the stage itself fails
 */
export async function play(cast: Cast, theatre: Theatre, steps: readonly Step[]): Promise<Played> {
  for (let tries = 1; ; tries += 1) {
    const redis = new Redis(theatre.server.url);
    const watch = new PathWatch(() => redis.ping());
    const playing = new Play(cast, theatre).run(steps);
    const [ended] = await Promise.allSettled([playing]);
    const slowestMs = watch.end();
    redis.disconnect();
    if (slowestMs > slowMaxMs && tries < triesMax) continue;
    if (ended.status === "rejected") throw ended.reason;
    return ended.value;
  }
}
