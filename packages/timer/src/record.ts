/** A timer as it is stored; written by schedule.lua, never rewritten by a claim. */

/** What a schedule or a repeat of it is answered. */
export interface Answer {
  /** s scheduled, r replaced, f firing, k kept; in a record the letter stands for format 1. */
  readonly kind: string;
  readonly generation: number;
  readonly dueAtMs: number;
}

/** A decoded record. */
export interface TimerRecord extends Answer {
  readonly operationId: string;
  /** The record up to the payload: answer, space, operation. */
  readonly head: string;
  readonly payloadText: string;
}

/** To the base of 36. */
const generationDigits = 10;
const generationBase = 36;
const generationEnd = 1 + generationDigits;

/** Decodes kind, generation and deadline, as in `shnl5x3k2t1-250`; null when it is something else. */
export function decodeAnswer(text: string): Answer | null {
  const generation = parseInt(text.slice(1, generationEnd), generationBase);
  const offsetMs = Number(text.slice(generationEnd));
  const kind = text[0] as string;
  if (!"srfk".includes(kind) || text.length <= generationEnd || !(generation > 0) || !Number.isSafeInteger(offsetMs))
    return null;
  return { kind, generation, dueAtMs: Math.floor(generation / 1_000) + offsetMs };
}

/** Decodes a record; null when another format or another program wrote it. */
export function decodeRecord(text: string): TimerRecord | null {
  return new RecordReader().read(text);
}

/** Decodes records of which neighbours often begin alike: timers that were set together, for the same time. */
export class RecordReader {
  #answerText = "";
  #answer: Answer | null = null;

  /** As `decodeRecord`. */
  read(text: string): TimerRecord | null {
    const first = text.indexOf(" ");
    const second = text.indexOf(" ", first + 1);
    if (first < 0 || second < 0) return null;
    const answer = this.readAnswer(text.slice(0, first));
    if (answer === null) return null;
    return {
      kind: answer.kind,
      generation: answer.generation,
      dueAtMs: answer.dueAtMs,
      operationId: text.slice(first + 1, second),
      head: text.slice(0, second),
      payloadText: text.slice(second + 1),
    };
  }

  /** As `decodeAnswer`. */
  readAnswer(text: string): Answer | null {
    if (text !== this.#answerText) {
      this.#answerText = text;
      this.#answer = decodeAnswer(text);
    }
    return this.#answer;
  }
}
