/** The TracingChannel around handlers. */
import { tracingChannel } from "node:diagnostics_channel";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DeadLetterError, timerChannel } from "../src/index.ts";
import type { Firing } from "../src/index.ts";
import { Desk, freshName } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

it("each handler is traced from its start to its end, with its firing and what it failed with, also behind a schema", async () => {
  await using desk = new Desk();
  const name = freshName();
  const timer = desk.timer<{ n: number }>(server.url, name);
  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } } as const;
  const checked = desk.timer<unknown>(server.url, freshName(), { payload: schema });
  const told: [string, { readonly id?: string; readonly error?: unknown }][] = [];
  const subscribers = Object.fromEntries(
    ["start", "end", "asyncStart", "asyncEnd", "error"].map((what) => [
      what,
      (context: object) => void told.push([what, { ...context }]),
    ]),
  ) as unknown as Parameters<ReturnType<typeof tracingChannel>["subscribe"]>[0];
  const channel = tracingChannel(timerChannel);
  channel.subscribe(subscribers);
  const firings: Firing<unknown>[] = [];
  const handler = (firing: Firing<unknown>): void => {
    firings.push(firing);
    if (firing.id === "bad") throw new DeadLetterError("on purpose");
  };
  const workers = [timer.worker(handler), checked.worker(handler)];
  try {
    await timer.scheduleMany(["good", "bad"].map((id) => ({ id, afterMs: 0, payload: { n: 1 } })));
    await checked.schedule({ id: "checked", afterMs: 0, payload: 1 });
    for (const worker of workers) await worker.start();
    await pollUntil("all have ended", () => told.filter(([what]) => what === "asyncEnd").length === 3, {
      timeoutMs: 60_000,
    });
  } finally {
    channel.unsubscribe(subscribers);
  }
  const starts = told.flatMap(([what, context]) => (what === "start" ? [context] : []));
  const byId = (all: readonly { readonly id?: string }[]): unknown[] =>
    all.toSorted((a, b) => (a.id ?? "").localeCompare(b.id ?? ""));
  expect(byId(starts)).toMatchObject(
    byId(firings.map(({ id, resource, token, generation, attempt }) => ({ id, resource, token, generation, attempt }))),
  );
  expect(told.filter(([what]) => what === "error")).toMatchObject([
    ["error", { id: "bad", error: { name: "DeadLetterError" } }],
  ]);
  // Nobody listens any more: the next one is called as it is.
  await timer.schedule({ id: "later", afterMs: 0, payload: { n: 2 } });
  await pollUntil("it has fired", () => firings.some(({ id }) => id === "later"), { timeoutMs: 60_000 });
  expect(told.some(([, { id }]) => id === "later")).toBe(false);
  for (const worker of workers) await worker.stop({ graceMs: 10_000 });
});
