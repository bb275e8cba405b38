/** Redis, the ledger and pods in containers on one network, and what an orchestrator does to them. */
import { join } from "node:path";
import { GenericContainer, Network, Wait } from "testcontainers";
import type { ContainerRuntimeClient, StartedNetwork, StartedTestContainer } from "testcontainers";
import { isAlive } from "../../scripts/process.ts";
import type { Conditions } from "../history/record.ts";
import type { PodOrder } from "../world/pod-order.ts";
import type { Address } from "../world/client.ts";

const repository = join(import.meta.dirname, "../..");
const redisPort = 6379;
const freezeTriesMax = 10;
/** Reached by what never starts, not by what a busy machine delays. */
const startTimeoutMs = 180_000;
/** By it, what a run that was killed has left is found again. */
export const label = "holdfast.chaos";

/** Published on loopback alone, whatever the engine's default is. */
class LoopbackContainer extends GenericContainer {
  protected override beforeContainerCreated(): Promise<void> {
    const bindings: Record<string, { HostIp: string; HostPort: string }[]> = this.hostConfig.PortBindings ?? {};
    for (const ports of Object.values(bindings)) for (const port of ports) port.HostIp = "127.0.0.1";
    return Promise.resolve();
  }
}

/** What every pod is told. */
export interface ContainerOrder {
  readonly seed: string;
  readonly modules: readonly string[];
  readonly conditions: Conditions;
  /** Where histories are written; the same path inside and outside. */
  readonly folder: string;
}

/** One container with a name on the network. */
export interface Member {
  readonly alias: string;
  container: StartedTestContainer;
}

/** All containers of a round. */
export class ContainerFleet implements AsyncDisposable {
  readonly histories: string[] = [];
  private readonly client: ContainerRuntimeClient;
  private readonly image: string;
  private readonly network: StartedNetwork;
  private readonly order: ContainerOrder;
  private readonly started = new Set<StartedTestContainer>();
  private readonly lives = new Map<string, number>();

  private constructor(client: ContainerRuntimeClient, image: string, network: StartedNetwork, order: ContainerOrder) {
    this.client = client;
    this.image = image;
    this.network = network;
    this.order = order;
  }

  static async make(client: ContainerRuntimeClient, image: string, order: ContainerOrder): Promise<ContainerFleet> {
    await sweep(client);
    return new ContainerFleet(client, image, await new Network().start(), order);
  }

  /** @param port on loopback; fixed, since a restart changes a mapped one */
  async startRedis(alias: string, port: number): Promise<Member> {
    const command = [
      "/redis-server",
      "--dir",
      "/tmp",
      "--save",
      "",
      "--appendonly",
      "yes",
      "--appendfsync",
      "no",
      "--protected-mode",
      "no",
    ];
    const container = await new LoopbackContainer(this.image)
      .withCommand(command)
      .withLabels({ [label]: String(process.pid) })
      .withNetwork(this.network)
      .withNetworkAliases(alias)
      .withExposedPorts({ container: redisPort, host: port })
      // A scratch image has no shell, which the default check of ports needs.
      .withWaitStrategy(Wait.forLogMessage("Ready to accept connections"))
      .withStartupTimeout(startTimeoutMs)
      .start();
    this.started.add(container);
    return { alias, container };
  }

  /** Begins another life of a pod. */
  async startPod(name: string): Promise<Member> {
    const life = (this.lives.get(name) ?? 0) + 1;
    this.lives.set(name, life);
    const { folder, seed, modules, conditions } = this.order;
    const historyPath = join(folder, `${name}.${life}.jsonl`);
    this.histories.push(historyPath);
    const address = (host: string): Address => ({ host, port: redisPort });
    const order: PodOrder = {
      pod: `${name}.${life}`,
      seed,
      historyPath,
      modules,
      redis: { kind: "single", address: address("redis") },
      ledger: address("ledger"),
      prefix: "chaos",
      conditions,
      given: {},
    };
    const program = join(repository, "test-chaos/world/worker.pod.ts");
    const container = await new GenericContainer(this.image)
      .withCommand(["/node", "--conditions=@holdfast/source", "--expose-gc", program])
      .withEnvironment({ CHAOS_POD: JSON.stringify(order) })
      .withLabels({ [label]: String(process.pid) })
      .withNetwork(this.network)
      .withNetworkAliases(name)
      .withBindMounts([
        { source: repository, target: repository, mode: "ro" },
        { source: folder, target: folder, mode: "rw" },
      ])
      .withWaitStrategy(Wait.forLogMessage("at work"))
      .withStartupTimeout(startTimeoutMs)
      .start();
    this.started.add(container);
    return { alias: name, container };
  }

  /** With the cgroup freezer, which gives up now and then on processes that are busy. */
  async pause({ container }: Member): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.client.container.getById(container.getId()).pause();
        return;
      } catch (error) {
        if (tries === freezeTriesMax) throw error;
      }
    }
  }

  async unpause({ container }: Member): Promise<void> {
    await this.client.container.getById(container.getId()).unpause();
  }

  /** SIGKILL to its first process, and so to all. */
  async kill({ container }: Member): Promise<void> {
    await this.client.container.getById(container.getId()).kill();
  }

  async signal({ container }: Member, signal: NodeJS.Signals): Promise<void> {
    await this.client.container.getById(container.getId()).kill({ signal });
  }

  /** The same container again, with the same files. */
  async startAgain({ container }: Member): Promise<void> {
    await this.client.container.start(this.client.container.getById(container.getId()));
  }

  /** Nothing gets through and nobody is told. */
  async disconnect({ container }: Member): Promise<void> {
    await this.client.network.getById(this.network.getId()).disconnect({ Container: container.getId() });
  }

  /** With its name: it is lost when a container is disconnected. */
  async reconnect({ container, alias }: Member): Promise<void> {
    const EndpointConfig = { Aliases: [alias] };
    await this.client.network.getById(this.network.getId()).connect({ Container: container.getId(), EndpointConfig });
  }

  /** Resolves when its process has ended, at most after this many milliseconds. */
  async ended({ container }: Member, withinMs: number): Promise<void> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), withinMs);
    await this.client.container
      .getById(container.getId())
      .wait({ abortSignal: over.signal })
      .catch(() => undefined);
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.started].map((container) =>
        this.client.container
          .getById(container.getId())
          .remove({ force: true, v: true })
          .catch(() => undefined),
      ),
    );
    await this.network.stop();
  }
}

/** Removes what runs have left whose process is gone. */
async function sweep(client: ContainerRuntimeClient): Promise<void> {
  for (const { Id, Labels } of await client.container.list()) {
    const owner = Labels[label];
    if (owner === undefined || isAlive(Number(owner))) continue;
    await client.container.getById(Id).remove({ force: true, v: true });
  }
}
