/**
 * The service in the process of a test that kills nobody.
 */
import { readConfig } from "../src/config.ts";
import { OrderService } from "../src/order-service.ts";
import { PATIENT } from "./replica.ts";
import { Service } from "./requests.ts";

/** Nothing is taken over from it, however long the machine stands still. */
const QUIET = { ...PATIENT, HOST: "127.0.0.1", PORT: "0", LOG_LEVEL: "silent", TIMER_LEASE_MS: "60000" };

/** A service that was started and takes requests. */
export class LocalService extends Service implements AsyncDisposable {
  private readonly service: OrderService;

  private constructor(service: OrderService) {
    super();
    this.service = service;
  }

  static async start(env: Readonly<Record<string, string>>): Promise<LocalService> {
    return new LocalService(await OrderService.start(readConfig({ ...QUIET, ...env })));
  }

  override get url(): string {
    return `http://127.0.0.1:${this.service.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.stop();
  }
}
