/**
 * How a majority of independent nodes agrees on a token that is higher than every earlier one (L8). No I/O: the lock drives it with real
 * nodes, the model check with random schedules.
 *
 * Each node proposes max(last + 1, its clock). The highest proposal is written back to a majority. Two things make it safe. *Strict*: a node
 * that has seen a higher token refuses, and the round goes on with that one; else two holders could get one token. *Commit-wait*: a node
 * counts only when its clock has passed the token; the next majority shares a node with this one, and even if that node has forgotten
 * everything, it proposes at least its clock.
 */

/** One acquire's token. Nodes are numbered from 0. */
export class TokenRound {
  readonly #majority: number;
  readonly #passed = new Set<number>();
  #token = 0;

  /** @param nodes how many there are, an odd number */
  constructor(nodes: number) {
    this.#majority = Math.floor(nodes / 2) + 1;
  }

  /** The highest token seen; 0 before the first. */
  get token(): number {
    return this.#token;
  }

  /** Whether a majority remembers the token and has a clock past it: it is the holder's. */
  get decided(): boolean {
    return this.#passed.size >= this.#majority;
  }

  /** A node has proposed this token, or refused because of it. A higher one than before starts the confirmations again. */
  see(token: number): void {
    if (this.decided || token <= this.#token) return;
    this.#token = token;
    this.#passed.clear();
  }

  /**
   * A node has confirmed a token at this time of its clock.
   * @returns microseconds until its clock has passed the token: ask it again then; 0 when it has
   */
  confirm(node: number, token: number, nowUs: number): number {
    if (nowUs <= token) return token - nowUs + 1;
    if (token === this.#token) this.#passed.add(node);
    return 0;
  }
}
