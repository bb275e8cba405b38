/** A call under way: its request has not arrived yet, or its answer has not, while others are made. */
import type { FaultProxy, HoldRule } from "@holdfast/testkit";
import { expect } from "vitest";
import type { Expected } from "./model.ts";

/** A call on the inventory, and what the model says to it. */
export interface Asked {
  readonly ask: () => Promise<object>;
  readonly expected: () => Expected;
}

/** What a call answered, without times and texts. */
export async function answered(call: Promise<object>): Promise<Expected> {
  try {
    const { expiresAtMs: _, cursor, ...rest } = (await call) as Record<string, unknown>;
    return cursor === undefined ? rest : { ...rest, sequence: (cursor as { sequence: number }).sequence };
  } catch (error) {
    const { name, field } = error as Error & { field?: string };
    return name === "DifferentRequestError" ? { error: name, field } : { error: name };
  }
}

/** One call that is late. */
export class Late {
  readonly #held: HoldRule;
  readonly #answer: Promise<Expected>;
  readonly #wanted: () => Expected;
  #steps: number;

  private constructor(held: HoldRule, answer: Promise<Expected>, wanted: () => Expected, steps: number) {
    this.#held = held;
    this.#answer = answer;
    this.#wanted = wanted;
    this.#steps = steps;
  }

  /** Makes the call and lets it stand where it is for so many steps. */
  static async send(
    proxy: FaultProxy,
    what: "request" | "reply",
    { ask, expected }: Asked,
    steps: number,
  ): Promise<Late> {
    const held = proxy.hold(what, "evalsha");
    const answer = answered(ask());
    await held.hit;
    if (what === "request") return new Late(held, answer, expected, steps);
    const wanted = expected();
    return new Late(held, answer, () => wanted, steps);
  }

  /** @returns whether it is still under way */
  async step(): Promise<boolean> {
    this.#steps -= 1;
    if (this.#steps > 0) return true;
    await this.arrive();
    return false;
  }

  async arrive(): Promise<void> {
    this.#held.release();
    const answer = await this.#answer;
    expect(answer).toEqual(this.#wanted());
  }

  /** Lets go of it, whatever it says. */
  async drop(): Promise<void> {
    this.#held.release();
    await this.#answer;
  }
}
