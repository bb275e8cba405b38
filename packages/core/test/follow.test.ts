/** Work that is followed to its end by seats that are used again. */
import { describe, expect, it } from "vitest";
import { follow, type WorkOwner } from "../src/index.ts";

class Recorder implements WorkOwner {
  readonly heard: unknown[] = [];

  onValue(value: unknown): void {
    this.heard.push(value);
  }

  onError(error: unknown): void {
    this.heard.push(["error", error]);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("an owner is told how its work ends", () => {
  it("by the value or the error, of promises and plain values alike", async () => {
    const one = new Recorder();
    const failure = new Error("no");
    follow(one, Promise.resolve(1));
    follow(one, 2);
    follow(one, Promise.reject(failure));
    await turn();
    expect(one.heard).toEqual([1, 2, ["error", failure]]);
  });

  it("once, also by a thenable that calls back twice and by one that throws", async () => {
    const [twice, thrower] = [new Recorder(), new Recorder()];
    const failure = new Error("broken");
    follow(twice, {
      // oxlint-disable-next-line unicorn/no-thenable
      then(onValue: (value: string) => void): void {
        onValue("once");
        onValue("twice");
      },
    });
    follow(thrower, {
      // oxlint-disable-next-line unicorn/no-thenable
      then(): void {
        throw failure;
      },
    });
    await turn();
    expect(twice.heard).toEqual(["once"]);
    expect(thrower.heard).toEqual([["error", failure]]);
  });

  it("whatever order a thousand pieces end in, and whatever seats were used before", async () => {
    for (let round = 0; round < 3; round += 1) {
      const pieces = Array.from({ length: 1_000 }, (_, index) => {
        const { promise, resolve } = Promise.withResolvers<number>();
        const owner = new Recorder();
        follow(owner, promise);
        return { owner, end: () => resolve(index) };
      });
      for (const [index, { end }] of pieces.entries()) if (index % 3 === round) end();
      await turn();
      for (const { end } of pieces.toReversed()) end();
      await turn();
      expect(pieces.map(({ owner }) => owner.heard)).toEqual(pieces.map((_, index) => [index]));
    }
  });

  it("by a seat that is free again when the owner follows more work from within", async () => {
    const heard: number[] = [];
    const owner: WorkOwner = {
      onValue: (value) => {
        heard.push(value as number);
        if (heard.length < 5) follow(owner, Promise.resolve(heard.length));
      },
      onError: (error) => expect.unreachable(String(error)),
    };
    follow(owner, Promise.resolve(0));
    await turn();
    expect(heard).toEqual([0, 1, 2, 3, 4]);
  });
});
