/** Leaving work that goes on: nothing that it comes to is dropped unseen. */
import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { untilAborted } from "../src/redlock/until-aborted.ts";

function nobody(value: unknown): never {
  throw new Error(`heard ${String(value)}`);
}

describe("untilAborted", () => {
  it("ends as the work does, and leaves no listener", async () => {
    const { signal } = new AbortController();
    expect(await untilAborted(Promise.resolve(7), [signal], nobody)).toBe(7);
    await expect(untilAborted(Promise.reject(new Error("broken")), [signal], nobody)).rejects.toThrow("broken");
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  it("rejects with the reason of the first signal that aborts, and hands over what the work came to later", async () => {
    const controllers = [new AbortController(), new AbortController()] as const;
    const signals = controllers.map(({ signal }) => signal);
    const work = Promise.withResolvers<number>();
    const unheard: number[] = [];
    const waiting = untilAborted(work.promise, signals, (value) => unheard.push(value));
    controllers[1].abort(new Error("second"));
    controllers[0].abort(new Error("first"));
    await expect(waiting).rejects.toThrow("second");
    work.resolve(7);
    await work.promise;
    expect(unheard).toEqual([7]);
    expect(signals.flatMap((signal) => getEventListeners(signal, "abort"))).toHaveLength(0);
  });

  it("hands over what the work came to in the turn in which the signal aborted", async () => {
    const controller = new AbortController();
    const work = Promise.withResolvers<number>();
    const unheard: number[] = [];
    const waiting = untilAborted(work.promise, [controller.signal], (value) => unheard.push(value));
    work.resolve(7);
    controller.abort(new Error("in the same turn"));
    await expect(waiting).rejects.toThrow("in the same turn");
    expect(unheard).toEqual([7]);
  });

  it("work that fails after its caller has left raises nothing", async () => {
    const controller = new AbortController();
    const work = Promise.withResolvers<number>();
    const waiting = untilAborted(work.promise, [controller.signal], nobody);
    controller.abort(new Error("left"));
    work.reject(new Error("later"));
    await expect(waiting).rejects.toThrow("left");
    await expect(work.promise).rejects.toThrow("later");
  });
});
