/** The checker of stock: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkInventory } from "../checkers/inventory.ts";
import type { InventoryFindings } from "../scenarios/inventory.ts";
import { broken, refusesNothing, Story } from "./story.ts";

type Movements = InventoryFindings["movements"];

const opening = {
  sequence: 1,
  kind: "restock",
  id: "opening",
  changes: [{ sku: "mug", onHand: 5, reserved: 0 }],
} as const;
const reserve = { sequence: 2, kind: "reserve", id: "r", changes: [{ sku: "mug", onHand: 0, reserved: 2 }] } as const;
const confirm = { sequence: 3, kind: "confirm", id: "r", changes: [{ sku: "mug", onHand: -2, reserved: -2 }] } as const;

function found(onHand: number, reserved: number, outcome: string, ...movements: Movements): InventoryFindings {
  return { levels: { mug: { onHand, reserved, available: onHand - reserved } }, movements, outcomes: { r: outcome } };
}

function sold(): Story {
  return new Story("inventory")
    .call("reserve", "mug", "r", { kind: "reserved" })
    .call("confirm", "mug", "r", { kind: "confirmed" });
}

const right = found(3, 0, "confirmed", opening, reserve, confirm);

describe("the checker of stock", () => {
  it("lets pass what the guarantees allow", () => {
    expect(broken(checkInventory(sold().record(right)))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkInventory, "inventory")).toBe(true);
  });

  const huge = { ...reserve, changes: [{ sku: "mug", onHand: 0, reserved: 9 }] };
  const again = { ...reserve, sequence: 4 };
  const twice = { ...confirm, sequence: 4, changes: [] };
  it.each([
    [
      "more reserved than there is",
      sold(),
      found(5, 9, "confirmed", opening, huge),
      "V1 stock is never negative, and never less than what is reserved",
    ],
    [
      "stock that the log does not explain",
      sold(),
      found(4, 0, "confirmed", opening, reserve, confirm),
      "V5 the movements add up to the state",
    ],
    [
      "a hold that never ends",
      sold(),
      found(5, 2, "confirmed", opening, reserve),
      "V5 the movements add up to the state",
    ],
    [
      "a gap in the log",
      sold(),
      found(3, 0, "confirmed", opening, reserve, { ...confirm, sequence: 4 }),
      "V5 no movement is missing in the log",
    ],
    [
      "an id that takes twice",
      sold(),
      found(3, 2, "confirmed", opening, reserve, confirm, again),
      "V2 an id takes or brings once",
    ],
    [
      "a reservation that ends twice",
      sold(),
      found(3, 0, "confirmed", opening, reserve, confirm, twice),
      "V4 a reservation ends exactly once",
    ],
    [
      "an acknowledged sale that is not there",
      sold(),
      found(5, 0, "absent", opening),
      "V2 what was acknowledged is in the log",
    ],
    [
      "a no that took something",
      new Story("inventory").call("reserve", "mug", "r", { kind: "insufficient" }),
      found(5, 2, "insufficient", opening, reserve),
      "V2 a no stays a no, and takes nothing",
    ],
    [
      "a no that became a yes",
      new Story("inventory").call("reserve", "mug", "r", { kind: "insufficient" }),
      found(5, 0, "held", opening),
      "V2 what became of an id is what its callers heard",
    ],
    [
      "a reservation that came after it was read as absent",
      new Story("inventory").call("outcome", "mug", "r", { kind: "absent" }),
      found(3, 0, "confirmed", opening, reserve, confirm),
      "V2 what was read as absent stays absent",
    ],
    [
      "a no while due holds are unreturned",
      sold()
        .call("crowd", "jar", "crowd", { kind: "restocked" }, { asked: { holdMs: 1_000 } })
        .note("advanced", "clock", { ms: 1_100 })
        .call("clear", "jar", "clear-1", { kind: "insufficient" }),
      right,
      "V2 a no is given only when no due hold is unreturned",
    ],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkInventory(story.record(findings)))).toContain(rule);
  });
});
