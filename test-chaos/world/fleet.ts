/** The pods of a round: each in its place, with a network of its own, replaced by another life when it has died. */
import { join } from "node:path";
import { FaultProxy, Pod } from "@holdfast/testkit";
import type { ClockSkew, RedisServer, SeededRandom } from "@holdfast/testkit";
import type { Address } from "./client.ts";
import type { PodOrder } from "./pod-order.ts";
import { startSkew } from "./topology.ts";
import type { Topology } from "./topology.ts";

const program = new URL("./worker.pod.ts", import.meta.url);
const startTimeoutMs = 120_000;
const nodeArgs = ["--conditions=@holdfast/source", "--expose-gc", "--max-old-space-size=2048"];

/** What every life of every pod is told. */
export type FleetOrder = Omit<PodOrder, "pod" | "historyPath" | "redis" | "ledger">;

/** Where one pod runs. */
export class Place implements AsyncDisposable {
  readonly name: string;
  /** The wall clock of the pod, where this machine can step one. */
  readonly skew: ClockSkew | undefined;
  private readonly proxies: ReadonlyMap<RedisServer, FaultProxy>;
  private readonly ledgerProxy: FaultProxy;
  private readonly order: Omit<PodOrder, "pod" | "historyPath">;
  private readonly folder: string;
  private lives = 0;
  private current: Pod | undefined;
  readonly histories: string[] = [];

  private constructor(
    name: string,
    folder: string,
    order: Omit<PodOrder, "pod" | "historyPath">,
    network: { readonly proxies: ReadonlyMap<RedisServer, FaultProxy>; readonly ledgerProxy: FaultProxy },
    skew: ClockSkew | undefined,
  ) {
    this.name = name;
    this.folder = folder;
    this.order = order;
    this.proxies = network.proxies;
    this.ledgerProxy = network.ledgerProxy;
    this.skew = skew;
  }

  /** Lays the network of a pod; {@link start} starts it. */
  static async make(
    name: string,
    folder: string,
    order: FleetOrder,
    servers: { readonly topology: Topology; readonly ledger: RedisServer; readonly random: SeededRandom },
  ): Promise<Place> {
    const proxies = new Map<RedisServer, FaultProxy>();
    const options = { random: servers.random };
    for (const server of servers.topology.servers) proxies.set(server, await FaultProxy.start(server, options));
    const ledgerProxy = await FaultProxy.start(servers.ledger, options);
    const through = (server: RedisServer): Address => {
      const proxy = proxies.get(server);
      if (proxy === undefined) throw new Error(`the server on port ${server.port} is behind no proxy`);
      return { host: proxy.host, port: proxy.port };
    };
    const skew = await startSkew();
    const ledger = { host: ledgerProxy.host, port: ledgerProxy.port };
    const full = { ...order, redis: servers.topology.plan(through), ledger };
    return new Place(name, folder, full, { proxies, ledgerProxy }, skew);
  }

  /** All ways of this pod to Redis, and to the resources. */
  get network(): readonly FaultProxy[] {
    return [...this.proxies.values(), this.ledgerProxy];
  }

  /** The process that runs here. */
  get pod(): Pod {
    if (this.current === undefined) throw new Error(`${this.name} was never started`);
    return this.current;
  }

  get isRunning(): boolean {
    return this.current?.isRunning === true;
  }

  /** Begins another life. Resolves when it works. */
  async start(): Promise<void> {
    this.lives += 1;
    const name = `${this.name}.${this.lives}`;
    const historyPath = join(this.folder, `${name}.jsonl`);
    this.histories.push(historyPath);
    const order: PodOrder = { ...this.order, pod: name, historyPath };
    const env = {
      ...this.skew?.env,
      CHAOS_POD: JSON.stringify(order),
      // A pod starts in a third of the processor time when its modules were compiled before.
      NODE_COMPILE_CACHE: join(this.folder, "../compile-cache"),
    };
    const pod = await Pod.start(program, { env, nodeArgs });
    this.current = pod;
    await pod.ready({ timeoutMs: startTimeoutMs });
  }

  /** Ends latency, loss and refusal on all ways. */
  async heal(held: "deliver" | "drop" = "deliver"): Promise<void> {
    for (const proxy of this.network) await proxy.heal({ held });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.current?.kill();
    for (const proxy of this.network) await proxy.close();
    await this.skew?.remove();
  }
}
