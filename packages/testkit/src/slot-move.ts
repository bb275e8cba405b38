/**
 * The live migration of one hash slot, in the order that loses no key and no client: the target imports, the source migrates, keys
 * move in batches, then the slot is handed over, to the target first, so that at every moment somebody serves it.
 */
import type { RedisAddress, RedisProbe } from "./redis-probe.ts";
import { RespError } from "./resp-reader.ts";

/** Where a migration stands. */
export interface MoveStep {
  /** `migrating`: clients are now sent to the target for keys the source does not have. `keys`: a batch was moved. `moved`: done. */
  readonly kind: "migrating" | "keys" | "moved";
  readonly slot: number;
  /** Keys of this slot moved so far. */
  readonly keys: number;
  /** Slots of this call that are done. */
  readonly slotsDone: number;
}

/** How to move slots. */
export interface MoveOptions {
  /** Keys per MIGRATE. Default 50. */
  readonly batch?: number;
  /** Called at every step and awaited: a test can act while the slot is half moved. */
  readonly onStep?: (step: MoveStep) => void | Promise<void>;
}

/** A master that takes part. */
export interface MoveParty {
  readonly id: string;
  readonly address: RedisAddress;
  readonly probe: RedisProbe;
}

/** Moves a slot. `masters` are all that have to hear of it. Returns the number of keys moved. */
export async function moveSlot(
  slot: number,
  from: MoveParty,
  to: MoveParty,
  masters: readonly MoveParty[],
  options: MoveOptions,
): Promise<number> {
  const step = async (kind: MoveStep["kind"], moved: number): Promise<void> => {
    await options.onStep?.({ kind, slot, keys: moved, slotsDone: 0 });
  };
  await to.probe.call("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
  await from.probe.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
  await step("migrating", 0);
  let moved = 0;
  for (;;) {
    const keys = await from.probe.call("CLUSTER", "GETKEYSINSLOT", slot, options.batch ?? 50);
    const names = Array.isArray(keys) ? keys.map(String) : [];
    if (names.length > 0) {
      await migrate(from, to, names);
      moved += names.length;
      await step("keys", moved);
    } else if (await handOver(slot, from, to)) {
      break;
    }
  }
  for (const master of masters) {
    if (master !== from && master !== to) await master.probe.call("CLUSTER", "SETSLOT", slot, "NODE", to.id);
  }
  await step("moved", moved);
  return moved;
}

async function migrate(from: MoveParty, to: MoveParty, keys: readonly string[]): Promise<void> {
  const { host, port, username, password } = to.address;
  const auth =
    password === undefined ? [] : username === undefined ? ["AUTH", password] : ["AUTH2", username, password];
  await from.probe.call("MIGRATE", host, port, "", 0, 10_000, ...auth, "KEYS", ...keys);
}

/** False when keys have turned up in the meantime. */
async function handOver(slot: number, from: MoveParty, to: MoveParty): Promise<boolean> {
  await to.probe.call("CLUSTER", "SETSLOT", slot, "NODE", to.id);
  try {
    await from.probe.call("CLUSTER", "SETSLOT", slot, "NODE", to.id);
    return true;
  } catch (error) {
    if (error instanceof RespError && error.message.includes("still hold keys")) return false;
    throw error;
  }
}
