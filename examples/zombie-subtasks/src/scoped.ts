/**
 * The same subtasks as forks of a scope: when its time is over they are told to end, what they have asked of others is called back, and
 * what does not end has a name.
 */
import { scope, type ScopeEvent } from "@holdfast/scope";
import type { PageBuilder, PageParts } from "./product-page.ts";

/** A scope for each page. */
export class ScopedPage implements PageBuilder {
  readonly #timeoutMs: number;
  readonly #graceMs: number;
  readonly #zombies: Record<string, number> = {};

  constructor(timeoutMs: number, graceMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#graceMs = graceMs;
  }

  build(_request: string, parts: PageParts): Promise<unknown> {
    const options = {
      name: "product-page",
      timeoutMs: this.#timeoutMs,
      graceMs: this.#graceMs,
      onEvent: (event: ScopeEvent) => this.#note(event),
    };
    return scope(options, (page) =>
      Promise.all(Object.entries(parts).map(([name, part]) => page.fork(name, ({ signal }) => part(signal)))),
    );
  }

  zombies(): Readonly<Record<string, number>> {
    return this.#zombies;
  }

  #note(event: ScopeEvent): void {
    if (event.type === "zombie") this.#zombies[event.fork] = (this.#zombies[event.fork] ?? 0) + 1;
  }
}
