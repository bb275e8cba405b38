/**
 * A quorum in memory: nodes that do what the quorum scripts do, messages that are late, lost or repeated, clocks that differ, locks that
 * vanish at any moment, nodes that forget everything. The rule under test, TokenRound, is the real one.
 */
import type { SeededRandom } from "@holdfast/testkit";
import { TokenRound } from "../src/redlock/token-round.ts";

/** Which of the two protections stand. */
export interface Protections {
  readonly strict: boolean;
  readonly commitWait: boolean;
}

/** What a node answers. */
export type ModelReply =
  | { readonly kind: "granted"; readonly token: number }
  | { readonly kind: "confirmed"; readonly nowUs: number }
  | { readonly kind: "higher"; readonly token: number }
  | { readonly kind: "held" | "lost" | "released" };

/** One node; its time is given to each call. */
export class ModelNode {
  lock: string | null = null;
  fence = 0;

  propose(value: string, nowUs: number): ModelReply {
    if (this.lock !== null && this.lock !== value) return { kind: "held" };
    if (this.lock === value && this.fence > 0) return { kind: "granted", token: this.fence };
    this.fence = Math.max(this.fence + 1, nowUs);
    this.lock = value;
    return { kind: "granted", token: this.fence };
  }

  confirm(value: string, token: number, nowUs: number, strict = true): ModelReply {
    if (this.lock !== value) return { kind: "lost" };
    if (strict && this.fence > token) return { kind: "higher", token: this.fence };
    this.fence = token;
    return { kind: "confirmed", nowUs };
  }

  release(value: string): ModelReply {
    if (this.lock !== value) return { kind: "lost" };
    this.lock = null;
    return { kind: "released" };
  }

  forget(): void {
    this.lock = null;
    this.fence = 0;
  }
}

/** How often things happened. */
export interface ModelCounts {
  decided: number;
  delivered: number;
  late: number;
  lost: number;
  repeated: number;
  forgotten: number;
  vanished: number;
}

/** A finished acquire: steps at which it began and was decided. */
interface Acquired {
  readonly token: number;
  readonly beganAt: number;
  readonly decidedAt: number;
}

interface Client {
  readonly value: string;
  readonly round: TokenRound;
  readonly granted: Set<number>;
  readonly beganAt: number;
  confirming: number;
  done: boolean;
}

type Message =
  | { readonly sentAt: number; readonly client: Client; readonly node: number; readonly kind: "propose" | "release" }
  | {
      readonly sentAt: number;
      readonly client: Client;
      readonly node: number;
      readonly kind: "confirm";
      readonly token: number;
    }
  | {
      readonly sentAt: number;
      readonly client: Client;
      readonly node: number;
      readonly kind: "reply";
      readonly token: number;
      readonly reply: ModelReply;
    };

/** What a schedule is like: each draws its own, so that rare combinations come together somewhere. */
interface Weather {
  readonly nodes: number;
  readonly clientsMax: number;
  readonly skew: number;
  readonly tick: number;
  readonly inOrder: number;
  readonly repeat: number;
  readonly lose: number;
  readonly vanish: number;
  readonly forget: number;
  /** How often another node is cut off from all clients. */
  readonly cut: number;
  /** How often a request that was made before reaches its node once more, from a connection that is gone: nobody gets the answer. */
  readonly replay: number;
  /** How often a lease ends right after a confirmation, and the answer to a proposal that was made before is lost. */
  readonly spite: number;
}

/** Few clients on nodes whose clocks agree, so that proposals collide, while leases end at the worst moments. */
function duel(random: SeededRandom): Weather {
  return {
    nodes: 3,
    clientsMax: 3,
    skew: 0,
    tick: random.pick([0.15, 0.4]),
    inOrder: 0.5,
    repeat: 0.2,
    lose: 0,
    vanish: 0.05,
    forget: 0,
    cut: 0,
    replay: 0.3,
    spite: 0.5,
  };
}

/** Many clients, clocks that differ, and a node that forgets. */
function storm(random: SeededRandom): Weather {
  return {
    nodes: random.pick([3, 3, 5]),
    clientsMax: 12,
    skew: random.pick([12, 60]),
    tick: random.pick([0.1, 0.4]),
    inOrder: random.pick([0.3, 0.8]),
    repeat: 0.1,
    lose: 0.05,
    vanish: 0.03,
    forget: 0.02,
    cut: 0.05,
    replay: 0.01,
    spite: 0,
  };
}

/** One random schedule. Time is coarse, so that clocks of different nodes often say the same. */
export class QuorumModel {
  readonly #random: SeededRandom;
  readonly #protections: Protections;
  readonly #counts: ModelCounts;
  readonly #nodes: ModelNode[];
  readonly #offsets: number[];
  readonly #weather: Weather;
  readonly #clients: Client[] = [];
  readonly #acquired: Acquired[] = [];
  #messages: Message[] = [];
  readonly #requests: Exclude<Message, { kind: "reply" }>[] = [];
  #step = 0;
  #cutOff = -1;
  #time = 1_000;

  constructor(random: SeededRandom, protections: Protections, counts: ModelCounts) {
    this.#random = random;
    this.#protections = protections;
    this.#counts = counts;
    this.#weather = random.chance(0.5) ? duel(random) : storm(random);
    this.#nodes = Array.from({ length: this.#weather.nodes }, () => new ModelNode());

    this.#offsets = this.#nodes.map(() => random.int(-this.#weather.skew, this.#weather.skew));
  }

  /** Runs the schedule; resolves to what it violates, or null. */
  run(steps: number): string | null {
    for (this.#step = 1; this.#step <= steps; this.#step += 1) {
      this.#time += this.#random.chance(this.#weather.tick) ? 1 : 0;
      this.#act();
    }
    return this.#violation();
  }

  #now(node: number): number {
    return this.#time + (this.#offsets[node] ?? 0);
  }

  #act(): void {
    const { clientsMax, vanish, forget, cut, replay } = this.#weather;
    if (this.#random.chance(cut)) this.#cutOff = this.#random.int(-1, this.#nodes.length - 1);
    const roll = this.#random.unit();
    const mayBegin = this.#clients.length < clientsMax;
    if (mayBegin && (this.#messages.length === 0 || roll > 0.9)) this.#begin();
    else if (roll < vanish) this.#vanish();
    else if (roll < vanish + forget) this.#forget();
    else if (roll < vanish + forget + replay && this.#requests.length > 0) this.#replay();
    else if (this.#messages.length > 0) this.#deliver();
  }

  #begin(): void {
    const client: Client = {
      value: `v${this.#clients.length}`,
      round: new TokenRound(this.#nodes.length),
      granted: new Set(),
      beganAt: this.#step,
      confirming: 0,
      done: false,
    };
    this.#clients.push(client);
    for (const node of this.#nodes.keys()) this.#messages.push({ sentAt: this.#step, client, node, kind: "propose" });
  }

  #vanish(): void {
    const node = this.#nodes[this.#random.int(0, this.#nodes.length - 1)] as ModelNode;
    if (node.lock !== null) this.#counts.vanished += 1;
    node.lock = null;
  }

  #forget(): void {
    // One node of the schedule forgets, as often as it likes.
    const node = this.#nodes[0] as ModelNode;
    if (node.fence > 0) this.#counts.forgotten += 1;
    node.forget();
  }

  #deliver(): void {
    const random = this.#random;
    const weather = this.#weather;
    const place = random.chance(weather.inOrder) ? 0 : random.int(0, this.#messages.length - 1);
    const message = this.#messages[place] as Message;
    this.#messages.splice(place, 1);
    const repeated = random.chance(weather.repeat);
    // The copy comes after everything that is under way now.
    if (repeated) this.#messages.push(message);
    if (random.chance(weather.lose) || message.node === this.#cutOff) {
      this.#counts.lost += 1;
      return;
    }
    this.#counts.delivered += 1;
    if (repeated) this.#counts.repeated += 1;
    if (this.#step - message.sentAt > 30) this.#counts.late += 1;
    if (message.kind === "reply") this.#onReply(message.client, message.node, message.token, message.reply);
    else this.#atNode(message);
  }

  #replay(): void {
    this.#counts.repeated += 1;
    this.#atNode(this.#random.pick(this.#requests), true);
  }

  #atNode(message: Exclude<Message, { kind: "reply" }>, unheard = false): void {
    const { client, node, kind } = message;
    const target = this.#nodes[node] as ModelNode;
    const token = kind === "confirm" ? message.token : 0;
    let reply: ModelReply;
    if (kind === "propose") reply = target.propose(client.value, this.#now(node));
    else if (kind === "release") reply = target.release(client.value);
    else reply = target.confirm(client.value, token, this.#now(node), this.#protections.strict);
    const { spite } = this.#weather;
    if (reply.kind === "confirmed" && this.#random.chance(spite)) target.lock = null;
    if (unheard) return;
    this.#requests.push(message);
    if (kind === "propose" && client.granted.has(node) && this.#random.chance(spite)) this.#counts.lost += 1;
    else this.#messages.push({ sentAt: this.#step, client, node, kind: "reply", token, reply });
  }

  #onReply(client: Client, node: number, token: number, reply: ModelReply): void {
    if (client.done) return;
    const { round } = client;
    if (reply.kind === "granted") client.granted.add(node);
    if (reply.kind === "granted" || reply.kind === "higher") round.see(reply.token);
    if (reply.kind === "confirmed") {
      const nowUs = this.#protections.commitWait ? reply.nowUs : Number.POSITIVE_INFINITY;
      if (round.confirm(node, token, nowUs) > 0) this.#send(client, node, token);
    }
    if (round.decided) {
      client.done = true;
      this.#counts.decided += 1;
      this.#acquired.push({ token: round.token, beganAt: client.beganAt, decidedAt: this.#step });
      for (const each of this.#nodes.keys())
        this.#messages.push({ sentAt: this.#step, client, node: each, kind: "release" });
      return;
    }
    if (client.granted.size > this.#nodes.length / 2 && round.token !== client.confirming) {
      client.confirming = round.token;
      for (const each of this.#nodes.keys()) this.#send(client, each, round.token);
    }
  }

  #send(client: Client, node: number, token: number): void {
    this.#messages.push({ sentAt: this.#step, client, node, kind: "confirm", token });
  }

  #violation(): string | null {
    for (const one of this.#acquired) {
      for (const other of this.#acquired) {
        if (one === other) continue;
        if (one.token === other.token) return `two holders have token ${one.token}`;
        if (one.decidedAt < other.beganAt && one.token > other.token)
          return `${one.token} was followed by ${other.token}`;
      }
    }
    return null;
  }
}
