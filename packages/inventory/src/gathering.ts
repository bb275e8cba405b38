/**
 * Brings units of spread stock to the bucket that is short of them, so that the last units are found wherever they lie (V9). A "no" is
 * given only after two looks at all buckets between which nothing moved: at that moment no bucket had them.
 *
 * Units travel as parcels that both sides have on record; a process that dies in between loses nothing, since whoever looks next delivers
 * what it finds.
 */
import { NotReplicatedError, UnexpectedReplyError } from "@holdfast/core";
import type { EventSink } from "@holdfast/core";
import type { Bucket } from "./bucket.ts";
import type { InventoryEvent } from "./events.ts";
import { unescapeWord } from "./packed-text.ts";
import { parcelsIn } from "./parcel.ts";
import type { Parcel } from "./parcel.ts";
import type { LevelsReply } from "./scripts.ts";

/** What a round came to: units came to the bucket, nothing to be had anywhere, or too much going on to tell. */
export type Gathered = "moved" | "nothing" | "unsettled";

/** What all buckets had. */
interface Look {
  readonly replies: readonly LevelsReply[];
  readonly parcels: readonly Parcel[];
}

/** The buckets of one inventory as a whole. */
export class Gathering {
  readonly #inventory: string;
  readonly #buckets: readonly Bucket[];
  readonly #events: EventSink<InventoryEvent>;

  constructor(inventory: string, buckets: readonly Bucket[], events: EventSink<InventoryEvent>) {
    this.#inventory = inventory;
    this.#buckets = buckets;
    this.#events = events;
  }

  /**
   * One round for a bucket that is short.
   * @param wanted quantities by escaped sku
   */
  async gather(bucket: Bucket, wanted: ReadonlyMap<string, number>): Promise<Gathered> {
    const skus = [...wanted.keys()];
    const look = await this.#look(skus);
    if (look.parcels.length > 0) {
      await this.#deliver(look.parcels);
      return "moved";
    }
    let [moved, covered] = [false, true];
    for (const [at, sku] of skus.entries()) {
      const available = look.replies.map(({ counters }) => counters[at * 2] ?? 0);
      let short = (wanted.get(sku) as number) - (available[bucket.index] as number);
      covered &&= short <= 0;
      const others = this.#buckets.filter(({ index }) => index !== bucket.index && (available[index] as number) > 0);
      others.sort((a, b) => (available[b.index] as number) - (available[a.index] as number));
      for (const other of others) {
        if (short <= 0) break;
        // A fair share, so that the next order does not have to fetch again.
        const share = Math.floor((available[other.index] as number) / this.#buckets.length);
        const lent = await this.#fetch(other, bucket, sku, Math.max(short, share));
        short -= lent;
        moved ||= lent > 0;
      }
    }
    // What somebody else brought meanwhile may be fetched away again before it is asked for, so that is no reason for a "no".
    if (moved || covered) return "moved";
    if (look.replies.some(({ left }) => left)) return "unsettled";
    const again = await this.#look(skus);
    const same = again.replies.every(({ head, left }, index) => !left && head === look.replies[index]?.head);
    return same && again.parcels.length === 0 ? "nothing" : "unsettled";
  }

  /** Delivers whatever is on its way between buckets. Resolves to the number of parcels. */
  async deliverAll(): Promise<number> {
    const { parcels } = await this.#look([]);
    await this.#deliver(parcels);
    return parcels.length;
  }

  async #look(skus: readonly string[]): Promise<Look> {
    const replies = await Promise.all(this.#buckets.map((bucket) => bucket.levels(skus)));
    const parcels = replies.flatMap(({ transit }, from) => parcelsIn(from, transit));
    return { replies, parcels };
  }

  async #fetch(from: Bucket, to: Bucket, sku: string, quantity: number): Promise<number> {
    const parcel = await from.lend(to.index, sku, quantity);
    if (parcel === null) return 0;
    await this.#deliver([parcel]);
    return parcel.sku === sku ? Number(parcel.quantity) : 0;
  }

  /** @throws NotReplicatedError when all have arrived, and too few replicas have one of them: it is delivered again by whoever looks next */
  async #deliver(parcels: readonly Parcel[]): Promise<void> {
    let unconfirmed: NotReplicatedError | undefined;
    for (const parcel of parcels) {
      try {
        await this.#deliverOne(parcel);
      } catch (error) {
        if (!(error instanceof NotReplicatedError)) throw error;
        unconfirmed ??= error;
      }
    }
    if (unconfirmed !== undefined) throw unconfirmed;
  }

  async #deliverOne(parcel: Parcel): Promise<void> {
    const { from, to, sku, quantity, text } = parcel;
    const bucket = this.#buckets[to];
    if (bucket === undefined) throw new UnexpectedReplyError(`inventory.deliver to bucket ${to}`, "a parcel", text);
    await bucket.receive(parcel);
    await (this.#buckets[from] as Bucket).clear(parcel);
    this.#events.emit(() => ({
      type: "gathered",
      inventory: this.#inventory,
      sku: unescapeWord(sku),
      from,
      to,
      quantity: Number(quantity),
    }));
  }
}
