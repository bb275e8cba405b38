/** What a process asks for and gives back, in numbers. */
import { beforeEach, describe, expect, it } from "vitest";
import { PermitDemand } from "../src/permit-demand.ts";

const concurrencyMax = 8;
let demand: PermitDemand;

/** One exchange: what it asked for, and what it was given. */
function exchange(used: number, share: (wanted: number) => number, spares = false) {
  const request = demand.next(used, spares);
  demand.giveBack(request.keep);
  demand.sharing(share(request.wanted));
  demand.granted(Math.max(request.keep, share(request.wanted)));
  return request;
}
const all = (wanted: number): number => wanted;

beforeEach(() => {
  demand = new PermitDemand(concurrencyMax);
});

describe("what there may be after the next answer", () => {
  it("is the whole limit before the first, and as long as it was given what it asked for", () => {
    expect(demand.prospect).toBe(concurrencyMax);
    demand.note(2);
    exchange(0, all);
    expect([demand.held, demand.prospect]).toEqual([2, concurrencyMax]);
    exchange(0, all);
    expect([demand.held, demand.prospect]).toEqual([0, concurrencyMax]);
  });

  it("is the share when that is less than it asked for, also while the next request is under way", () => {
    demand.note(8);
    exchange(0, () => 3);
    demand.note(6);
    demand.next(3, false);
    expect(demand.prospect).toBe(3);
  });
});

describe("what is kept", () => {
  it("is what was in use at once since the last request, although it is not in use now", () => {
    demand.note(6);
    exchange(0, all);
    for (const used of [1, 2, 3, 1]) demand.began(used);
    expect(exchange(1, all)).toEqual({ keep: 3, used: 1, wanted: 3 });
    expect(demand.held).toBe(3);
    // What was in use at the last request was so after it too.
    expect(exchange(0, all)).toEqual({ keep: 1, used: 0, wanted: 1 });
    expect(exchange(0, all)).toEqual({ keep: 0, used: 0, wanted: 0 });
  });

  it("is only what is in use or wanted now when somebody else waits", () => {
    demand.note(6);
    exchange(0, all);
    demand.began(3);
    expect(exchange(1, all, true)).toEqual({ keep: 1, used: 1, wanted: 0 });
  });
});
