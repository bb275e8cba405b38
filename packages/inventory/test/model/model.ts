/** An inventory as a few lines of plain code: what every call has to answer. Knows nothing of Redis. */

/** So many of each sku. */
export type Lines = readonly { readonly sku: string; readonly quantity: number }[];

interface Level {
  available: number;
  reserved: number;
}

/** What is known under an id. */
interface Known {
  readonly operation: "decrement" | "reserve" | "restock" | "adjust" | "extend" | "seed" | "sealed";
  readonly lines: Lines;
  readonly partial: boolean;
  readonly holdMs: number;
  readonly reservationId?: string;
  state: "done" | "no" | "held" | "confirmed" | "released" | "expired" | "gone";
  taken: Lines;
  confirmed: Lines;
  shortages: readonly object[];
  endedBy: string;
  /** Where the log stood after a seed. */
  readonly sequence?: number;
  /** The turn of the records that it was last written in. */
  turn?: number;
}

/** Takes a turn back that nothing was written in. */
export interface Turn {
  readonly made: boolean;
  undo(): void;
}

/** What a call is expected to answer, without times. */
export type Expected = Readonly<Record<string, unknown>>;

/** One basket, its lines summed and in order. */
export function summed(lines: Lines): Lines {
  const sums = new Map<string, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  return [...sums].map(([sku, quantity]) => ({ sku, quantity })).toSorted((a, b) => (a.sku < b.sku ? -1 : 1));
}

const same = (a: Lines, b: Lines): boolean => JSON.stringify(a) === JSON.stringify(b);
const different = (field: string): Expected => ({ error: "DifferentRequestError", field });
const sealed: Expected = { error: "IdSealedError" };

/** The model. */
export class Model {
  readonly #levels = new Map<string, Level>();
  readonly #known = new Map<string, Known>();
  #turn = 0;
  #sequence = 0;
  #unreturned = 0;

  /** Number of the newest movement, those of holds that are over and still unreturned left out. */
  get sequence(): number {
    return this.#sequence;
  }

  /** What any call does before anything else: holds that are over are returned. */
  returned(): void {
    this.#sequence += this.#unreturned;
    this.#unreturned = 0;
  }

  /** Forgets what was last written before the last turn, unless it is still held. All holds that are over were returned. */
  turn(): Turn {
    const rest = [...this.#known].filter(([, { turn = 0 }]) => turn < this.#turn);
    const undo = (): void => {
      this.#turn -= 1;
      for (const [id, known] of rest) this.#known.set(id, known);
    };
    if (rest.some(([, { state }]) => state === "held")) return { made: false, undo: () => undefined };
    for (const [id] of rest) this.#known.delete(id);
    this.#turn += 1;
    return { made: true, undo };
  }

  level(sku: string): { onHand: number; reserved: number; available: number } {
    const { available, reserved } = this.#at(sku);
    return { onHand: available + reserved, reserved, available };
  }

  /** decrement, reserve, restock, adjust. */
  order(
    operation: "decrement" | "reserve" | "restock" | "adjust",
    id: string,
    asked: Lines,
    partial = false,
    holdMs = 0,
  ): Expected {
    this.returned();
    const lines = summed(asked);
    const known = this.#known.get(id);
    if (known !== undefined) {
      if (known.operation === "sealed") return sealed;
      if (known.operation !== operation) return different("operation");
      if (!same(known.lines, lines)) return different("lines");
      if (known.holdMs !== holdMs) return different("holdMs");
      if (known.partial !== partial) return different("allowPartial");
      return this.#decided(known);
    }
    const base = {
      operation,
      lines,
      partial,
      holdMs,
      taken: lines,
      confirmed: [],
      shortages: [],
      endedBy: "",
    } as const;
    const sign = operation === "restock" || operation === "adjust" ? 1 : -1;
    const taken = partial
      ? lines
          .map(({ sku, quantity }) => ({ sku, quantity: Math.min(quantity, this.#at(sku).available) }))
          .filter(({ quantity }) => quantity > 0)
      : lines;
    const shortages = this.#shortages(lines, sign);
    if (taken.length === 0 || (!partial && shortages.length > 0)) {
      const no: Known = { ...base, state: "no", shortages };
      this.#write(id, no);
      return this.#decided(no);
    }
    for (const { sku, quantity } of taken) {
      const level = this.#at(sku);
      level.available += sign * quantity;
      if (operation === "reserve") level.reserved += quantity;
    }
    const done: Known = { ...base, taken, state: operation === "reserve" ? "held" : "done" };
    this.#write(id, done);
    this.#sequence += 1;
    return this.#decided(done);
  }

  confirm(id: string, operationId: string, part: Lines | undefined, retake: boolean): Expected {
    this.returned();
    const known = this.#known.get(id);
    if (known === undefined || known.operation === "sealed") return { kind: "absent" };
    if (known.operation !== "reserve") return different("operation");
    const lines = part === undefined ? known.taken : summed(part);
    const exceeds = lines.some(
      ({ sku, quantity }) => quantity > (known.taken.find((line) => line.sku === sku)?.quantity ?? 0),
    );
    switch (known.state) {
      case "confirmed":
        if (known.endedBy !== operationId) return { kind: "already-confirmed", lines: known.confirmed };
        return same(lines, known.confirmed) ? { kind: "confirmed", lines: known.confirmed } : different("lines");
      case "released":
        return { kind: "already-released" };
      case "no":
        return { kind: "absent" };
      case "gone":
        return retake ? { kind: "insufficient", shortages: known.shortages } : { kind: "expired" };
      case "expired": {
        if (!retake) return { kind: "expired" };
        if (exceeds) return { error: "ExceedsReservationError" };
        const shortages = this.#shortages(lines, -1);
        if (shortages.length > 0) {
          this.#change(known, { state: "gone", shortages });
          return { kind: "insufficient", shortages };
        }
        for (const { sku, quantity } of lines) this.#at(sku).available -= quantity;
        break;
      }
      case "held":
      case "done":
        if (exceeds) return { error: "ExceedsReservationError" };
        this.#giveBack(known.taken);
        for (const { sku, quantity } of lines) this.#at(sku).available -= quantity;
    }
    this.#change(known, { state: "confirmed", confirmed: lines, endedBy: operationId });
    this.#sequence += 1;
    return { kind: "confirmed", lines };
  }

  release(id: string, operationId: string): Expected {
    this.returned();
    const known = this.#known.get(id);
    if (known === undefined) this.#seal(id);
    if (known === undefined || known.operation === "sealed") return { kind: "absent" };
    if (known.operation !== "reserve") return different("operation");
    switch (known.state) {
      case "held":
        this.#giveBack(known.taken);
        this.#change(known, { state: "released", endedBy: operationId });
        this.#sequence += 1;
        return { kind: "released", lines: known.taken };
      case "released":
        return { kind: known.endedBy === operationId ? "released" : "already-released", lines: known.taken };
      case "confirmed":
        return { kind: "already-confirmed" };
      case "no":
        return { kind: "absent" };
      case "expired":
      case "gone":
      case "done":
        return { kind: "expired" };
    }
  }

  extend(operationId: string, id: string, holdMs: number): Expected {
    this.returned();
    const before = this.#known.get(operationId);
    if (before !== undefined) {
      if (before.operation === "sealed") return sealed;
      if (before.operation !== "extend") return different("operation");
      if (before.reservationId !== id) return different("reservationId");
      return before.holdMs === holdMs ? { kind: "extended" } : different("holdMs");
    }
    const known = this.#known.get(id);
    if (known === undefined || known.operation === "sealed" || known.state === "no") return { kind: "absent" };
    if (known.operation !== "reserve") return different("operation");
    if (known.state === "confirmed") return { kind: "already-confirmed" };
    if (known.state !== "held") return { kind: known.state === "released" ? "already-released" : "expired" };
    const empty = { lines: [], partial: false, taken: [], confirmed: [], shortages: [], endedBy: "" };
    this.#write(operationId, { ...empty, operation: "extend", holdMs, reservationId: id, state: "done" });
    this.#change(known, {});
    return { kind: "extended" };
  }

  outcome(id: string): Expected {
    this.returned();
    const known = this.#known.get(id);
    if (known === undefined) this.#seal(id);
    if (known === undefined || known.operation === "sealed") return { kind: "absent" };
    if (known.operation === "extend") return { kind: "extended", reservationId: known.reservationId };
    if (known.operation === "seed") return { kind: "seeded" };
    return this.#decided(known);
  }

  /** Sets what is on hand, if the log still stands where the caller looked. Returns holds only when it does so. */
  seed(id: string, counts: Lines, at: number): Expected {
    const before = this.#known.get(id);
    if (before !== undefined) {
      if (before.operation === "sealed") return sealed;
      if (before.operation !== "seed") return different("operation");
      return same(before.lines, counts) ? { kind: "seeded", sequence: before.sequence } : different("snapshot");
    }
    if (at !== this.#sequence) return { kind: "moved", sequence: this.#sequence };
    for (const { sku, quantity } of counts) {
      const { reserved } = this.#at(sku);
      if (quantity < reserved) return { kind: "below-reserved", sku, reserved };
    }
    this.returned();
    const moves = counts.some(({ sku, quantity }) => this.level(sku).onHand !== quantity);
    for (const { sku, quantity } of counts) this.#at(sku).available = quantity - this.#at(sku).reserved;
    if (moves) this.#sequence += 1;
    const empty = { partial: false, holdMs: 0, taken: [], confirmed: [], shortages: [], endedBy: "" };
    this.#write(id, { ...empty, operation: "seed", lines: counts, state: "done", sequence: this.#sequence });
    return { kind: "seeded", sequence: this.#sequence };
  }

  /** The hold's end has passed. Whether it was one. */
  lapse(id: string): boolean {
    const known = this.#known.get(id);
    if (known?.operation !== "reserve" || known.state !== "held") return false;
    this.#giveBack(known.taken);
    this.#change(known, { state: "expired" });
    this.#unreturned += 1;
    return true;
  }

  #write(id: string, known: Known): void {
    known.turn = this.#turn;
    this.#known.set(id, known);
  }

  #change(known: Known, fields: Partial<Known>): void {
    Object.assign(known, fields, { turn: this.#turn });
  }

  #seal(id: string): void {
    const empty = { lines: [], partial: false, holdMs: 0, taken: [], confirmed: [], shortages: [], endedBy: "" };
    this.#write(id, { ...empty, operation: "sealed", state: "done" });
  }

  #decided(known: Known): Expected {
    if (known.state === "no") return { kind: "insufficient", shortages: known.shortages };
    const lines = known.taken;
    switch (known.operation) {
      case "reserve":
        return { kind: "reserved", state: known.state === "gone" ? "expired" : known.state, lines };
      case "decrement":
        return { kind: "decremented", lines };
      case "restock":
        return { kind: "restocked", lines };
      case "adjust":
      case "extend":
      case "seed":
      case "sealed":
        return { kind: "adjusted", lines };
    }
  }

  #shortages(lines: Lines, sign: number): object[] {
    return lines.flatMap(({ sku, quantity }) => {
      const { available } = this.#at(sku);
      const wanted = sign * quantity * -1;
      return wanted > available ? [{ sku, wanted, available }] : [];
    });
  }

  #giveBack(lines: Lines): void {
    for (const { sku, quantity } of lines) {
      const level = this.#at(sku);
      level.available += quantity;
      level.reserved -= quantity;
    }
  }

  #at(sku: string): Level {
    let level = this.#levels.get(sku);
    if (level === undefined) {
      level = { available: 0, reserved: 0 };
      this.#levels.set(sku, level);
    }
    return level;
  }
}
