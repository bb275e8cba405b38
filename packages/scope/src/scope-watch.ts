/** Totals over all scopes of the process, by name, from the diagnostics channel. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { scopeChannel } from "./events.ts";
import type { ScopeEvent } from "./events.ts";
import { noCounts } from "./report.ts";
import type { ScopeReport } from "./report.ts";

/** Totals of all scopes of one name. */
export interface ScopeTotals extends ScopeReport {
  /** Scopes that have ended. */
  readonly scopes: number;
  /** Zombies that are running now. */
  readonly zombiesRunning: number;
}

/** A running count. */
export interface ScopeWatch extends Disposable {
  /** The totals so far, by name of the scope. */
  totals(): ReadonlyMap<string, ScopeTotals>;
  /** Stops counting. */
  close(): void;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Counts the outcomes of all scopes from now on. Scopes pay for it only while it is open. */
export function watchScopes(): ScopeWatch {
  const totals = new Map<string, Mutable<ScopeTotals>>();
  const of = (name: string): Mutable<ScopeTotals> => {
    const known = totals.get(name) ?? { ...noCounts(), scopes: 0, zombiesRunning: 0 };
    totals.set(name, known);
    return known;
  };
  const onMessage = (message: unknown): void => {
    const event = message as ScopeEvent;
    if (event.type === "ended") {
      const total = of(event.scope);
      total.scopes += 1;
      for (const key of Object.keys(event.report) as (keyof ScopeReport)[]) total[key] += event.report[key];
    } else if (event.type === "zombie") {
      of(event.scope).zombiesRunning += 1;
    } else if (event.type === "zombie-ended") {
      const total = of(event.scope);
      // It may have become a zombie before the counting began.
      total.zombiesRunning = Math.max(0, total.zombiesRunning - 1);
    }
  };
  subscribe(scopeChannel, onMessage);
  const close = (): void => {
    unsubscribe(scopeChannel, onMessage);
  };
  return { totals: () => totals, close, [Symbol.dispose]: close };
}
