import { PostgresServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../src/migrations.ts";
import { TestDatabase } from "./database.ts";

let postgres: PostgresServer;
beforeAll(async () => {
  postgres = await PostgresServer.start();
});
afterAll(() => postgres.stop());

describe("the migrations", () => {
  it("are applied once each when eight replicas start at the same moment", async () => {
    await using database = await TestDatabase.create(postgres);
    await Promise.all(Array.from({ length: 8 }, () => migrate(database.url)));
    const { rows } = await database.pool.query("SELECT version FROM schema_version ORDER BY version");
    expect(rows).toEqual([{ version: 1 }, { version: 2 }, { version: 3 }, { version: 4 }, { version: 5 }]);
  });

  it("change nothing the second time", async () => {
    await using database = await TestDatabase.create(postgres);
    await migrate(database.url);
    const applied = await database.pool.query("SELECT * FROM schema_version");
    await migrate(database.url);
    expect((await database.pool.query("SELECT * FROM schema_version")).rows).toEqual(applied.rows);
  });

  it("refuse a database that a newer program has migrated", async () => {
    await using database = await TestDatabase.create(postgres);
    await migrate(database.url);
    await database.pool.query("INSERT INTO schema_version (version) VALUES (99)");
    await expect(migrate(database.url)).rejects.toThrow("schema version 99");
  });

  it("leave nothing half-done when a step fails", async () => {
    await using database = await TestDatabase.create(postgres);
    await database.pool.query("CREATE TABLE order_events ()");
    await expect(migrate(database.url)).rejects.toThrow("already exists");
    const { rows } = await database.pool.query("SELECT to_regclass('orders') AS orders");
    expect(rows).toEqual([{ orders: null }]);
  });
});
