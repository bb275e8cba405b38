/** Waiting calls: a doubly linked list, so that taking from either end and leaving from the middle take constant time. */

/** What can wait; the links belong to the queue. */
export interface Waiter {
  previous: this | undefined;
  next: this | undefined;
}

/** Waiters in the order of their arrival. */
export class WaitQueue<Item extends Waiter> {
  #first: Item | undefined;
  #last: Item | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The one that has waited longest. */
  get oldest(): Item | undefined {
    return this.#first;
  }

  /** The one that has waited shortest. */
  get newest(): Item | undefined {
    return this.#last;
  }

  /** Joins at the end. */
  add(item: Item): void {
    item.previous = this.#last;
    if (this.#last === undefined) this.#first = item;
    else this.#last.next = item;
    this.#last = item;
    this.#length += 1;
  }

  /** Leaves, from wherever it stands. The item must be in this queue. */
  remove(item: Item): void {
    if (item.previous === undefined) this.#first = item.next;
    else item.previous.next = item.next;
    if (item.next === undefined) this.#last = item.previous;
    else item.next.previous = item.previous;
    item.previous = undefined;
    item.next = undefined;
    this.#length -= 1;
  }
}
