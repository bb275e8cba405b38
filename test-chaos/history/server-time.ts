/** Owns the clock of the server on the stage: it is read at the beginning and at the end, and goes on with the schedule in between. */
import { notesOf } from "./operation.ts";
import type { RoundRecord } from "./record.ts";
import { StageTime } from "./stage-time.ts";

/** The clock of the machine is slewed now and then by half a millisecond a second. */
const slewMs = 20;

/** Times of a history as the server would have told them. A history in which nobody read the clock is at 0. */
export class ServerTime {
  /** How far a time can be from what the server's clock showed, in milliseconds. */
  readonly errorMs: number;
  /** When the clock was read last, in server time. */
  readonly lastMs: number;
  private readonly stage: StageTime;
  private readonly offsetMs: number;

  constructor(round: RoundRecord, scenario: string) {
    const marks = notesOf(round.entries, scenario, "clock");
    const [first] = marks;
    this.stage = new StageTime(round, scenario);
    this.errorMs = slewMs + Math.max(0, ...marks.map(({ values }) => Number(values["withinMs"])));
    this.offsetMs = first === undefined ? 0 : Number(first.values["serverMs"]) - this.stage.at(first.atMs);
    this.lastMs = Number(marks.at(-1)?.values["serverMs"] ?? 0);
  }

  /** A monotonic time of the machine, in epoch milliseconds of the server. */
  at(atMs: number): number {
    return this.stage.at(atMs) + this.offsetMs;
  }
}
