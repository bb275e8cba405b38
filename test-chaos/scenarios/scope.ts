/** Scopes: trees of subtasks under one deadline, in processes that are paused, blocked and collect garbage. Needs no server. */
import { scope } from "@holdfast/scope";
import type { ScopeEvent } from "@holdfast/scope";
import { checkScope } from "../checkers/scope.ts";
import { pace } from "./pace.ts";
import type { Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

/** Time of the outer scope, and how long its forks may take to end. */
const timeoutMs = 120;
const graceMs = 60;

async function tree(place: Workplace): Promise<void> {
  const { random } = place;
  const id = random.id();
  const onEvent = (event: ScopeEvent): void => {
    if (event.type === "ended") place.note("ended", id, { ...event.report });
  };
  const deaf = random.chance(0.1);
  await place.call({ call: "scope", resource: place.pod, operation: id, values: { timeoutMs, graceMs, deaf } }, () =>
    scope({ name: "page", timeoutMs, graceMs, onEvent }, async (page) => {
      const names = ["user", "cart", "prices"] as const;
      const forks = names.map((name) =>
        page.fork(name, { timeoutMs: random.int(40, 200) }, async ({ signal, remainingMs }) => {
          place.note("child", id, { remainingMs: remainingMs() });
          if (random.chance(0.05)) throw Object.assign(new Error("a subtask failed"), { effect: "none" });
          await pace(random.int(1, deaf ? 900 : 150), deaf ? place.stopping : signal);
        }),
      );
      await scope({ name: "inner", timeoutMs: 500, graceMs: 20 }, async (inner) => {
        await inner.fork("offers", async ({ signal, remainingMs }) => {
          place.note("child", id, { remainingMs: remainingMs() });
          await pace(random.int(1, 60), signal);
        });
      });
      await Promise.all(forks);
    }),
  );
}

async function work(place: Workplace): Promise<void> {
  const lanes = Array.from({ length: 3 }, async () => {
    while (!place.quiet.aborted) {
      await tree(place);
      await pace(place.random.int(20, 150), place.quiet);
    }
  });
  await Promise.all(lanes);
}

/** The scenario of `@holdfast/scope`. */
export const scenario: Scenario = { name: "scope", work, check: checkScope };
