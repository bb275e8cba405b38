/**
 * Follows work to its end without a closure for each piece of it: the two callbacks of a promise belong to a seat, and a seat is used
 * again once its promise has called back.
 */

/** Told how its work has ended; once. */
export interface WorkOwner {
  onValue(value: unknown): void;
  onError(error: unknown): void;
}

/** Seats kept for use again. */
const sparesMax = 256;
const spares: Seat[] = [];

class Seat {
  owner: WorkOwner | undefined = undefined;
  readonly onValue: (value: unknown) => void = (value) => this.#left().onValue(value);
  readonly onError: (error: unknown) => void = (error) => this.#left().onError(error);

  #left(): WorkOwner {
    const { owner } = this;
    this.owner = undefined;
    if (spares.length < sparesMax) spares.push(this);
    return owner as WorkOwner;
  }
}

/**
 * Tells the owner how work ends, in a later turn also when it is a plain value. What is no promise of this realm is resolved first: others
 * may call back twice.
 * @param owner told once; must not throw
 * @param work a promise, a thenable or a value
 */
export function follow(owner: WorkOwner, work: unknown): void {
  const seat = spares.pop() ?? new Seat();
  seat.owner = owner;
  Promise.resolve(work).then(seat.onValue, seat.onError);
}
