/** What a history of stock has to keep. */
import type { RoundRecord } from "../history/record.ts";
import type { Operation } from "../history/operation.ts";
import { StageTime } from "../history/stage-time.ts";
import type { InventoryFindings } from "../scenarios/inventory.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "inventory";

interface Shelf {
  onHand: number;
  reserved: number;
}

/** Plays the log from the beginning: it never goes below zero, and its end is what is in stock. */
function logIsState({ levels, movements }: InventoryFindings): Verdict[] {
  const negative = new Rule(scenario, "V1 stock is never negative, and never less than what is reserved");
  const sums = new Rule(scenario, "V5 the movements add up to the state");
  const gaps = new Rule(scenario, "V5 no movement is missing in the log");
  const shelves = new Map<string, Shelf>();
  let last = 0;
  for (const { sequence, kind, id, changes } of movements) {
    const before = last;
    gaps.check(sequence === before + 1, () => `${sequence} comes after ${before}`);
    last = sequence;
    for (const { sku, onHand, reserved } of changes) {
      const shelf = shelves.get(sku) ?? { onHand: 0, reserved: 0 };
      shelf.onHand += onHand;
      shelf.reserved += reserved;
      shelves.set(sku, shelf);
      const holds = shelf.reserved >= 0 && shelf.onHand >= shelf.reserved;
      negative.check(
        holds,
        () => `${sku}: ${shelf.onHand} on hand, ${shelf.reserved} reserved after ${sequence} (${kind} ${id})`,
      );
    }
  }
  for (const [sku, { onHand, reserved, available }] of Object.entries(levels)) {
    const shelf = shelves.get(sku) ?? { onHand: 0, reserved: 0 };
    sums.check(
      onHand === shelf.onHand && reserved === shelf.reserved,
      () => `${sku}: ${onHand} and ${reserved} in stock, ${shelf.onHand} and ${shelf.reserved} by the log`,
    );
    sums.check(
      available === onHand - reserved,
      () => `${sku}: ${available} available of ${onHand} with ${reserved} reserved`,
    );
    sums.check(reserved === 0, () => `${sku}: ${reserved} reserved when every hold has ended`);
  }
  return [negative.verdict, sums.verdict, gaps.verdict];
}

const begins = new Set(["decrement", "reserve", "restock"]);
const ends = new Set(["confirm", "release", "expire", "retake"]);

function idsOnce({ movements }: InventoryFindings): Verdict[] {
  const once = new Rule(scenario, "V2 an id takes or brings once");
  const ended = new Rule(scenario, "V4 a reservation ends exactly once");
  for (const [id, ofId] of Map.groupBy(movements, (movement) => movement.id)) {
    const begun = ofId.filter(({ kind }) => begins.has(kind));
    once.check(
      begun.length <= 1,
      () => `${id}: ${begun.map(({ kind, sequence }) => `${kind} ${sequence}`).join(", ")}`,
    );
    if (begun[0]?.kind !== "reserve") continue;
    const over = ofId.filter(({ kind }) => ends.has(kind));
    ended.check(
      over.length === 1,
      () => `${id}: ended ${over.length} times: ${over.map(({ kind }) => kind).join(", ")}`,
    );
  }
  return [once.verdict, ended.verdict];
}

const kindOf: Readonly<Record<string, string>> = {
  decremented: "decrement",
  reserved: "reserve",
  restocked: "restock",
  confirmed: "confirm",
  released: "release",
};

/** What callers were told is what the log says: nothing acknowledged is missing, nothing refused is there. */
function answersAreTrue(
  round: RoundRecord,
  calls: readonly Operation[],
  { movements, outcomes }: InventoryFindings,
): Verdict[] {
  if (round.conditions.forgets) return [];
  const there = new Rule(scenario, "V2 what was acknowledged is in the log");
  const absent = new Rule(scenario, "V2 a no stays a no, and takes nothing");
  const resolved = new Rule(scenario, "V2 what became of an id is what its callers heard");
  const sealed = new Rule(scenario, "V2 what was read as absent stays absent");
  const inLog = new Set(movements.map(({ kind, id }) => `${kind} ${id}`));
  for (const { id, call, outcome, answer, process } of calls) {
    if (outcome !== "ok") continue;
    const answered = String(answer["kind"]);
    const kind = kindOf[answered];
    if (kind !== undefined)
      there.check(inLog.has(`${kind} ${id}`), () => `${id}: ${process} heard ${answered}, there is no ${kind}`);
    if (call === "outcome" && answered === "absent")
      sealed.check(!inLog.has(`reserve ${id}`), () => `${id}: ${process} read that it is absent, and it was taken`);
    if (answered === "insufficient") {
      absent.check(
        !inLog.has(`reserve ${id}`) && !inLog.has(`decrement ${id}`),
        () => `${id}: ${process} heard insufficient, and it was taken`,
      );
      resolved.check(
        outcomes[id] === "insufficient",
        () => `${id}: ${process} heard insufficient, the end is ${outcomes[id]}`,
      );
    }
    if (answered === "confirmed" || answered === "already-confirmed")
      resolved.check(
        outcomes[id] === "confirmed",
        () => `${id}: ${process} heard ${answered}, the end is ${outcomes[id]}`,
      );
    if (answered === "released")
      resolved.check(outcomes[id] === "released", () => `${id}: ${process} heard released, the end is ${outcomes[id]}`);
  }
  return [there.verdict, absent.verdict, sealed.verdict, resolved.verdict];
}

/** On the stage: many holds whose time is over, and then somebody who wants all that they held. */
function dueHoldsAreReturned(round: RoundRecord, calls: readonly Operation[]): Verdict[] {
  const rule = new Rule(scenario, "V2 a no is given only when no due hold is unreturned");
  const time = new StageTime(round, scenario);
  const crowd = calls.find(({ call, outcome }) => call === "crowd" && outcome === "ok");
  const first = calls.find(({ call }) => call === "clear");
  if (crowd === undefined || first === undefined) return [];
  const dueMs = time.at(crowd.answeredAtMs) + Number(crowd.asked["holdMs"]);
  if (time.at(first.askedAtMs) > dueMs)
    rule.check(
      first.answer["kind"] !== "insufficient",
      () => `${first.id}: insufficient, with only due holds in its way`,
    );
  return [rule.verdict];
}

/** Checks the stock of a round. */
export function checkInventory(round: RoundRecord): Verdict[] {
  const findings = (round.findings[scenario] as InventoryFindings | undefined) ?? {
    levels: {},
    movements: [],
    outcomes: {},
  };
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const answered = calls.filter(({ outcome }) => outcome === "ok");
  const told = (kind: string): number => answered.filter(({ answer }) => answer["kind"] === kind).length;
  return [
    enough(scenario, {
      "orders answered": [answered.length, 100],
      reservations: [told("reserved"), 20],
      confirmations: [told("confirmed"), 5],
      shortages: [told("insufficient"), 3],
      movements: [findings.movements.length, 20],
      "orders answered after the healing": [answered.filter(({ askedAtMs }) => askedAtMs > round.calmAtMs).length, 10],
    }),
    ...logIsState(findings),
    ...idsOnce(findings),
    ...answersAreTrue(round, calls, findings),
    ...dueHoldsAreReturned(round, calls),
  ];
}
