/** A process that holds a fenced transaction open, to be paused and killed. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Pool } from "pg";
import { idempotentTransaction, withFence } from "../../src/index.ts";

const pool = new Pool({ connectionString: process.env["DATABASE_URL"] });
pool.on("error", () => undefined);

/** Resolves when the body may go on. */
let go: () => void = () => undefined;
let outcome: Promise<string> = Promise.resolve("nothing ran");

function inBackground(run: (entered: () => void, opened: Promise<void>) => Promise<unknown>): Promise<void> {
  const opened = new Promise<void>((resolve) => {
    go = resolve;
  });
  return new Promise((resolve) => {
    outcome = run(resolve, opened).then(
      () => "committed",
      (error: unknown) => (error instanceof Error ? error.name : String(error)),
    );
    void outcome.then(() => resolve());
  });
}

servePod({
  /** Answers when the body runs and has written. */
  enter: ({ resource, token, idleMs }: { resource: string; token: number; idleMs?: number }) =>
    inBackground((entered, opened) =>
      withFence(pool, { resource, token }, { idleMs }, async (tx) => {
        await tx.query("INSERT INTO effects (resource, token) VALUES ($1, $2)", [resource, token]);
        entered();
        await opened;
      }),
    ),
  charge: ({ key, idleMs }: { key: string; idleMs?: number }) =>
    inBackground((entered, opened) =>
      idempotentTransaction(
        pool,
        { name: "charge", tenant: "acme", key, fingerprint: { amount: 5 }, idleMs },
        async (tx) => {
          await tx.query("INSERT INTO effects (resource, token) VALUES ($1, 0)", [key]);
          entered();
          await opened;
          return "charged";
        },
      ),
    ),
  leave: () => go(),
  outcome: () => outcome,
});
reportReady();
