/** Counts what the clients of this process send. The server's own statistics would also count what scripts call. */
import { Redis } from "ioredis";

/** Counts from now on, over all clients, subscribers included. Counters nest. */
export class ClientCommands implements Disposable {
  #count = 0;
  readonly #before: Redis["sendCommand"];

  constructor() {
    const before = Reflect.get<Redis, "sendCommand">(Redis.prototype, "sendCommand");
    this.#before = before;
    const counted = (): void => {
      this.#count += 1;
    };
    Redis.prototype.sendCommand = function (this: Redis, ...args) {
      counted();
      return before.apply(this, args);
    };
  }

  get count(): number {
    return this.#count;
  }

  [Symbol.dispose](): void {
    Redis.prototype.sendCommand = this.#before;
  }
}
