/**
 * The usual code: all subtasks together against a timeout. Whoever loses the race goes on; nobody waits for it, and nobody knows it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PageBuilder, PageParts } from "./product-page.ts";

/** Races the subtasks against the time. */
export class RacedPage implements PageBuilder {
  readonly #timeoutMs: number;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  async build(_request: string, parts: PageParts): Promise<unknown> {
    const all = Promise.all(Object.values(parts).map((part) => part(undefined)));
    // Its rejection is the answer as long as it comes in time; afterwards there is nobody to tell.
    all.catch(() => undefined);
    const late = sleep(this.#timeoutMs).then(() => {
      throw new Error(`not ready within ${this.#timeoutMs} ms`);
    });
    return Promise.race([all, late]);
  }

  zombies(): Readonly<Record<string, number>> {
    return {};
  }
}
