/**
 * Owns how a request finds a replica: round robin, and on to the next one until there is an answer. A request keeps its id, and what comes
 * of one that was carried out before its answer got lost is up to the shop.
 */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPTS_MAX = 100;
const PAUSE_MS = 50;
const REQUEST_TIMEOUT_MS = 5_000;
const SOCKETS_PER_REPLICA = 64;
const PROBES_PER_REPLICA = 200;

/** The buyers' way to the replicas. */
export class ShopClient {
  /** Requests that were sent again, since no answer came. */
  repeats = 0;
  private readonly urls: readonly string[];
  /** By path: whoever pays does not queue behind those who ask for a cart. */
  private readonly agents = new Map<string, Agent>();
  private turn = 0;

  /** @param urls the replicas; one that was killed stays in the list, as in a load balancer that has not noticed. */
  constructor(urls: readonly string[]) {
    this.urls = urls;
  }

  /** Lets every replica get past its first, slow answers. */
  async open(): Promise<void> {
    const probes = Array.from({ length: this.urls.length * PROBES_PER_REPLICA }, () => this.once("/ready", {}));
    await Promise.all(probes);
  }

  /**
   * Sends a request until it is answered.
   *
   * @param losesAnswer the network loses the first answer
   * @throws Error when no replica answers.
   */
  async post(path: string, body: object, losesAnswer: boolean): Promise<unknown> {
    let lost = losesAnswer;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      if (attempt > 0) {
        this.repeats += 1;
        await sleep(PAUSE_MS);
      }
      const answer = await this.once(path, body);
      if (answer === undefined) continue;
      if (!lost) return answer;
      lost = false;
    }
    throw new Error(`No replica answered POST ${path}, after ${ATTEMPTS_MAX} attempts.`);
  }

  /** Closes the connections that are kept. */
  close(): void {
    for (const agent of this.agents.values()) agent.destroy();
  }

  /** Undefined when no answer came, or one that says that the replica does not know what came of the request. */
  private once(path: string, body: object): Promise<unknown> {
    this.turn += 1;
    const url = `${this.urls[this.turn % this.urls.length]}${path}`;
    const agent = this.agentFor(path);
    return new Promise((resolve) => {
      const nothing = (): void => resolve(undefined);
      const sent = request(url, { method: "POST", agent, timeout: REQUEST_TIMEOUT_MS }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("error", nothing);
        response.on("end", () => resolve(response.statusCode === 200 ? (JSON.parse(text) as unknown) : undefined));
      });
      sent.on("timeout", () => sent.destroy());
      sent.on("error", nothing);
      sent.end(JSON.stringify(body));
    });
  }

  private agentFor(path: string): Agent {
    const agent = this.agents.get(path) ?? new Agent({ keepAlive: true, maxSockets: SOCKETS_PER_REPLICA });
    this.agents.set(path, agent);
    return agent;
  }
}
