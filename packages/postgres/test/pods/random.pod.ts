/** An actor of the random suite in a process of its own, to be paused and killed. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Pool } from "pg";
import { type Order, perform } from "../random/work.ts";

const pool = new Pool({ connectionString: process.env["DATABASE_URL"], max: 6 });
pool.on("error", () => undefined);
pool.on("connect", (client) => client.on("error", () => undefined));

servePod({
  perform: (order: Order) => perform(pool, order),
  /** Opens a connection for each order to come. */
  warm: async () => {
    await Promise.all(Array.from({ length: 6 }, () => pool.query("SELECT pg_sleep(0.05)")));
  },
});
reportReady();
