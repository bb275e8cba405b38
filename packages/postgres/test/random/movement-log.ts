/** An inventory's log in memory: what the ledger of the random suite has to come to. */
import type { SeededRandom } from "@holdfast/testkit";
import type { Movement, MovementCursor, MovementSource } from "../../src/index.ts";

const skus = ["apple", "pear", "plum"];

/** A log that grows. */
export class MovementLog implements MovementSource {
  readonly name = "stock";
  readonly bucketCount = 1;
  readonly all: Movement[] = [];
  /** How far the ledger has said that it is. */
  committed = 0;

  grow(random: SeededRandom): void {
    for (let more = random.int(1, 4); more > 0; more -= 1) {
      const sequence = this.all.length + 1;
      const changes = [{ sku: random.pick(skus), onHand: random.int(-5, 20), reserved: random.int(-2, 3) }];
      this.all.push({ sequence, stamp: `s${sequence}`, kind: "adjust", id: `m${sequence}`, atMs: sequence, changes });
    }
  }

  /** The sums that the ledger must show. */
  get balances(): { sku: string; on_hand: string; reserved: string }[] {
    const changes = this.all.flatMap((movement) => movement.changes);
    return skus.map((sku) => {
      const own = changes.filter((change) => change.sku === sku);
      const sum = (of: "onHand" | "reserved"): string => String(own.reduce((total, change) => total + change[of], 0));
      return { sku, on_hand: sum("onHand"), reserved: sum("reserved") };
    });
  }

  async *movements({ after }: { readonly after?: MovementCursor | undefined }): AsyncGenerator<Movement> {
    for (let place = after?.sequence ?? 0; place < this.all.length; place += 1) yield this.all[place] as Movement;
  }

  consumer(): { commit(cursor: MovementCursor): Promise<void> } {
    return {
      commit: async ({ sequence }) => {
        this.committed = Math.max(this.committed, sequence);
      },
    };
  }
}
