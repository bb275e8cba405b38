/** Stock by schedule: a few orders under ids that all actors share, as after redeliveries. */
import { Inventory } from "@holdfast/inventory";
import { scenario } from "../scenarios/inventory.ts";
import type { Cast } from "./cast.ts";

const holdMs = 10_000;
const sku = "mug";
/** More holds than one script returns. */
const crowd = 230;
const crowded = "jar";
const clearTries = 5;

/** The warehouse on the stage. */
export const inventoryCast: Cast = {
  name: "inventory",
  actions: [
    "reserve-1",
    "reserve-2",
    "confirm-1",
    "confirm-2",
    "release-1",
    "release-2",
    "decrement-1",
    "restock-1",
    "outcome-1",
    "crowd-1",
    "clear-1",
  ],
  pinned: [
    "0.reserve-1!late +1000 1.release-1 deliver 2.reserve-1 2.confirm-1",
    "0.reserve-1!lose 0.confirm-1!twice 1.confirm-1 2.release-1",
    "0.reserve-1!late +1000 1.outcome-1 deliver",
    "0.crowd-1 +11000 1.clear-1",
    "0.decrement-1!twice 1.decrement-1!lose 0.restock-1!lose",
  ],
  scenario,
  restMs: 11_000,
  enter: (place, clock) => {
    const stock = new Inventory(place.redis, "warehouse", {
      prefix: place.prefix,
      holdMs,
      rememberMs: 3_600_000,
      clock,
      random: place.random,
    });
    const fill = async (): Promise<{ kind: string }> => {
      const supply = await stock.restock({ operationId: "crowd", lines: [{ sku: crowded, quantity: crowd }] });
      await Promise.all(
        Array.from({ length: crowd }, (_, index) =>
          stock.reserve({ reservationId: `crowd-${index}`, lines: [{ sku: crowded, quantity: 1 }] }),
        ),
      );
      return supply;
    };
    const clear = async (operationId: string): Promise<{ kind: string }> => {
      const order = { operationId, lines: [{ sku: crowded, quantity: crowd }] };
      let result = await stock.decrement(order);
      for (let tries = 1; tries < clearTries && result.kind === "busy"; tries += 1)
        result = await stock.decrement(order);
      return result;
    };
    const calls: Readonly<Record<string, (id: string) => Promise<{ kind: string }>>> = {
      reserve: (id) => stock.reserve({ reservationId: id, lines: [{ sku, quantity: 7 }] }),
      confirm: (id) => stock.confirm({ reservationId: id }),
      release: (id) => stock.release({ reservationId: id }),
      outcome: (id) => stock.outcome(id),
      decrement: (id) => stock.decrement({ operationId: id, lines: [{ sku, quantity: 4 }] }),
      crowd: fill,
      clear,
      restock: (id) => stock.restock({ operationId: id, lines: [{ sku, quantity: 2 }] }),
    };
    return {
      act: async (action) => {
        const [call = "", number = ""] = action.split("-");
        const make = calls[call];
        if (make === undefined) return;
        const id =
          call === "crowd"
            ? call
            : `${call === "confirm" || call === "release" || call === "outcome" ? "reserve" : call}-${number}`;
        await place.call(
          { call, resource: call === "crowd" || call === "clear" ? crowded : sku, operation: id, values: { holdMs } },
          () => make(id),
          ({ kind }) => ({ kind }),
        );
      },
      vanish: () => undefined,
    };
  },
};
