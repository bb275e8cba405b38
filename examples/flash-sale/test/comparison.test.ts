import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import type { Course, ShopKind } from "../src/course.ts";
import { outcomeOf, type LedgerFindings } from "../src/outcome.ts";
import type { RunResult } from "../src/run.ts";

const course: Course = {
  units: 3,
  buyers: 9,
  arrivalMs: 1,
  holdMs: 1,
  chargeMs: 1,
  payAfterMaxMs: 1,
  againMs: 1,
  quietMs: 1,
  killAfterSold: 1,
};
const ledger: LedgerFindings = { sold: 3, unmatched: 0, drift: 0, expired: 1 };

interface Figures {
  readonly orders: readonly string[];
  readonly told?: readonly string[];
  readonly onShelf?: number;
  readonly ledger?: LedgerFindings;
  readonly killed?: boolean;
  readonly abandoned?: number;
}

function resultOf(kind: ShopKind, figures: Figures): RunResult {
  const { orders, told = orders, onShelf = 0, killed = true, abandoned = 1 } = figures;
  const bought = new Set(told);
  return {
    kind,
    outcome: outcomeOf(course.units, orders, { bought }, onShelf, figures.ledger ?? null),
    counts: { arrived: 9, carts: 4, abandoned, bought, gone: 0, without: 5, waiting: 0 },
    repeats: 2,
    killed,
  };
}

const getDecr = resultOf("get-decr", { orders: ["a", "b", "b", "c", "d"], told: ["a", "b", "c"], onShelf: -2 });
const plainLua = resultOf("plain-lua", { orders: ["a"] });
const held = resultOf("holdfast", { orders: ["a", "b", "c"], ledger });

describe("the comparison", () => {
  it("counts what was oversold, sold twice, charged in vain, and what is nowhere", () => {
    expect(getDecr.outcome).toMatchObject({
      sold: 5,
      oversold: 2,
      soldTwice: 1,
      chargedInVain: 1,
      onShelf: 0,
      lost: 0,
    });
    expect(plainLua.outcome).toMatchObject({ sold: 1, oversold: 0, lost: 2 });
  });

  it("has no problem when the inventory sold what there was, whatever the others did", () => {
    const report = compare(getDecr, plainLua, held, course);
    expect(report.problems).toEqual([]);
    expect(report.verdict).toEqual({
      usual: "5 of 3 sold, 1 twice; Lua: 1 of 3 sold, 2 lost",
      holdfast: "3 of 3 sold",
    });
    const calm = compare(held, held, held, course);
    expect(calm.problems).toEqual([]);
    expect(calm.notes.join()).toContain("oversold nothing this time");
  });

  it.each<[string, Figures, string]>([
    ["a unit too many", { orders: ["a", "b", "c", "d"], ledger: { ...ledger, sold: 4 } }, "4 of 3 units"],
    ["a unit that stays", { orders: ["a", "b"], onShelf: 1, ledger: { ...ledger, sold: 2 } }, "1 are on the shelf"],
    ["a unit that is nowhere", { orders: ["a", "b"], ledger: { ...ledger, sold: 2 } }, "neither sold nor on the shelf"],
    ["a buyer who got two", { orders: ["a", "b", "b"], ledger }, "sold twice"],
    ["a buyer who was told something else", { orders: ["a", "b", "c"], told: ["a", "b"], ledger }, "charged and told"],
    ["a ledger that lags", { orders: ["a", "b", "c"], ledger: { ...ledger, sold: 2 } }, "has 2 units as sold"],
    ["no ledger", { orders: ["a", "b", "c"] }, "has no units as sold"],
    ["an order of another id", { orders: ["a", "b", "c"], ledger: { ...ledger, unmatched: 2 } }, "do not match"],
    ["another balance", { orders: ["a", "b", "c"], ledger: { ...ledger, drift: 1 } }, "not what Redis has"],
    ["nobody killed", { orders: ["a", "b", "c"], ledger, killed: false }, "no replica was killed"],
    ["no cart abandoned", { orders: ["a", "b", "c"], ledger, abandoned: 0 }, "no cart was abandoned"],
    ["no cart ended", { orders: ["a", "b", "c"], ledger: { ...ledger, expired: 0 } }, "no cart ended by time"],
  ])("fails on %s", (_what, figures, problem) => {
    expect(compare(getDecr, plainLua, resultOf("holdfast", figures), course).problems.join()).toContain(problem);
  });
});
