/** The primitives that schedules are played with. */
import type { Cast } from "./cast.ts";
import { idempotencyCast } from "./idempotency-cast.ts";
import { inventoryCast } from "./inventory-cast.ts";
import { lockCast } from "./lock-cast.ts";
import { schedulerCast } from "./scheduler-cast.ts";
import { timerCast } from "./timer-cast.ts";

/** All casts. */
export const casts: readonly Cast[] = [lockCast, timerCast, idempotencyCast, inventoryCast, schedulerCast];
