/** Which orders each round of the random suite has. */
import type { SeededRandom } from "@holdfast/testkit";
import { tokenNow } from "../database.ts";
import type { Order } from "./work.ts";

/** Orders of one round. */
export const ordersPerRound = 8;

/** Orders, round by round. */
export class Plan {
  readonly #random: SeededRandom;
  readonly #timer: string;
  #token = tokenNow();
  #orders = 0;

  constructor(random: SeededRandom, timer: string) {
    this.#random = random;
    this.#timer = timer;
  }

  round(index: number): Order[] {
    this.#token += 100;
    const resource = `lock:${this.#random.int(1, 3)}`;
    return this.#random.shuffle([
      this.#fence(resource, 0),
      this.#fence(resource, this.#random.int(-300, 50)),
      this.#fence(resource, this.#random.int(-300, 50)),
      this.#key(index),
      this.#key(index),
      // Mostly one that was answered rounds ago.
      this.#key(this.#random.chance(0.6) ? this.#random.int(0, index) : index),
      this.#wish(),
      this.#wish(),
    ]);
  }

  #common(): Pick<Order, "id" | "isolation" | "holdMs"> {
    this.#orders += 1;
    return {
      id: `order-${this.#orders}`,
      isolation: this.#random.pick(["read-committed", "read-committed", "repeatable-read", "serializable"] as const),
      holdMs: this.#random.int(0, 25),
    };
  }

  #fence(resource: string, shift: number): Order {
    return { ...this.#common(), kind: "fence", resource, token: this.#token + shift };
  }

  #key(index: number): Order {
    return { ...this.#common(), kind: "key", key: `key-${index}` };
  }

  #wish(): Order {
    const timerId = `timer-${this.#random.int(1, 8)}`;
    return { ...this.#common(), kind: "outbox", timer: this.#timer, timerId, cancels: this.#random.chance(0.4) };
  }
}
