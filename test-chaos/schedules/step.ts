/**
 * The language of schedules: one word a step, so that a schedule can be read, mailed and run again.
 *
 *     0.acquire            actor 0 acquires, and waits for the answer
 *     1.acquire!lose       the server does it, the answer is lost
 *     1.acquire!late       the request stays on the way until `deliver`
 *     1.acquire!mute       the server does it, the answer stays on the way until `deliver`
 *     1.acquire!twice      the server gets it twice
 *     1.next!lose          the same for the next script that the actor sends of itself, such as a claim or a renewal
 *     +11000               11 seconds pass, for the server and all actors
 *     0.freeze 0.thaw      actor 0 stands still: its clock goes on, nothing in it runs
 *     0.crash              actor 0 is gone, with all it knew; another one takes its place
 *     deliver              what was on the way arrives
 *     forget               SCRIPT FLUSH
 *     hush                 from here on no hint reaches anybody
 *     full room            Redis is out of memory; it has room again
 */

/** What the network does to the next script of an actor. */
export type Fate = "pass" | "lose" | "late" | "mute" | "twice";

/** One step. */
export type Step =
  | { readonly kind: "act"; readonly actor: number; readonly action: string; readonly fate: Fate }
  | { readonly kind: "next"; readonly actor: number; readonly fate: Exclude<Fate, "pass"> }
  | { readonly kind: "freeze" | "thaw" | "crash"; readonly actor: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: Plain };

/** Steps that are about nobody in particular. */
export type Plain = "deliver" | "forget" | "hush" | "full" | "room";

const plain: readonly Plain[] = ["deliver", "forget", "hush", "full", "room"];
const fates: readonly Fate[] = ["pass", "lose", "late", "mute", "twice"];

/** A schedule as words. */
export function printSchedule(steps: readonly Step[]): string {
  return steps.map(printStep).join(" ");
}

function printStep(step: Step): string {
  switch (step.kind) {
    case "act":
      return `${step.actor}.${step.action}${step.fate === "pass" ? "" : `!${step.fate}`}`;
    case "next":
      return `${step.actor}.next!${step.fate}`;
    case "freeze":
    case "thaw":
    case "crash":
      return `${step.actor}.${step.kind}`;
    case "advance":
      return `+${step.ms}`;
    case "deliver":
    case "forget":
    case "hush":
    case "full":
    case "room":
      return step.kind;
  }
}

/**
 * Reads words as a schedule.
 * @param actions what actors can do
 * @throws RangeError naming the word that is no step
 */
export function parseSchedule(text: string, actions: readonly string[]): Step[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => parseStep(word, actions));
}

function parseStep(word: string, actions: readonly string[]): Step {
  const alone = plain.find((each) => each === word);
  if (alone !== undefined) return { kind: alone };
  const advance = /^\+(\d+)$/.exec(word);
  if (advance !== null) return { kind: "advance", ms: Number(advance[1]) };
  const [, actor, what = "", fateWord = "pass"] = /^(\d)\.([\w-]+)(?:!(\w+))?$/.exec(word) ?? [];
  if (actor !== undefined) {
    if (what === "freeze" || what === "thaw" || what === "crash") return { kind: what, actor: Number(actor) };
    const fate = fates.find((each) => each === fateWord);
    if (what === "next" && fate !== undefined && fate !== "pass") return { kind: what, actor: Number(actor), fate };
    if (actions.includes(what) && fate !== undefined) return { kind: "act", actor: Number(actor), action: what, fate };
  }
  throw new RangeError(`${JSON.stringify(word)} is no step; actions are ${actions.join(", ")}`);
}
