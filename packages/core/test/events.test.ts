/** What observers are told, and what they cannot disturb. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { EventSink, wordsOf } from "../src/index.ts";

interface Told {
  readonly type: "told";
  readonly number: number;
}

describe("events", () => {
  it("go to the instance's observer and to the channel", () => {
    const own: Told[] = [];
    const shared: unknown[] = [];
    const onMessage = (message: unknown): void => void shared.push(message);
    subscribe("holdfast:test-events", onMessage);
    const sink = new EventSink<Told>("holdfast:test-events", (event) => own.push(event));
    sink.emit(() => ({ type: "told", number: 1 }));
    unsubscribe("holdfast:test-events", onMessage);
    sink.emit(() => ({ type: "told", number: 2 }));
    expect(own.map(({ number }) => number)).toEqual([1, 2]);
    expect(shared).toEqual([{ type: "told", number: 1 }]);
  });

  it("are not even built when nobody observes", () => {
    const sink = new EventSink<Told>("holdfast:test-silent");
    let built = 0;
    const emit = (): void =>
      sink.emit(() => {
        built += 1;
        return { type: "told", number: built };
      });
    emit();
    expect([sink.active, built]).toEqual([false, 0]);
    const onMessage = (): void => undefined;
    subscribe("holdfast:test-silent", onMessage);
    emit();
    expect([sink.active, built]).toEqual([true, 1]);
    unsubscribe("holdfast:test-silent", onMessage);
    expect(sink.active).toBe(false);
  });

  it("reach the channel although the instance's observer throws, whose error becomes a warning", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning.message);
    process.on("warning", onWarning);
    const shared: unknown[] = [];
    const onMessage = (message: unknown): void => void shared.push(message);
    subscribe("holdfast:test-throwing", onMessage);
    const sink = new EventSink<Told>("holdfast:test-throwing", () => {
      throw new Error("observer broke");
    });
    sink.emit(() => ({ type: "told", number: 1 }));
    expect(shared).toHaveLength(1);
    await pollUntil("the warning is out", () => warnings.includes("observer broke"));
    process.off("warning", onWarning);
    unsubscribe("holdfast:test-throwing", onMessage);
  });

  it("do not disturb the work whatever an observer throws, also what has no text", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning.message);
    process.on("warning", onWarning);
    const thrown: unknown[] = [
      Object.create(null),
      { toString: () => ({}) },
      Symbol("no text by itself"),
      Object.defineProperty(new Error("hidden"), "message", {
        get() {
          throw new Error("do not look");
        },
      }),
    ];
    for (const value of thrown) {
      const sink = new EventSink<Told>("holdfast:test-textless", () => {
        throw value;
      });
      expect(() => sink.emit(() => ({ type: "told", number: 1 }))).not.toThrow();
      expect(typeof wordsOf(value)).toBe("string");
    }
    await pollUntil("the warnings are out", () => warnings.length === thrown.length);
    expect(warnings.filter((text) => text === "a thrown object that has no text")).toHaveLength(3);
    process.off("warning", onWarning);
  });
});
