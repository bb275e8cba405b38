import { existsSync } from "node:fs";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { pollUntil, PostgresServer } from "../src/index.ts";
import type * as LoopbackPort from "../src/loopback-port.ts";
import { freePort } from "../src/loopback-port.ts";
import { isAlive } from "./process-state.ts";
import { startScript } from "./script.ts";

// Lets a test decide which port is chosen next; everything else is real.
vi.mock("../src/loopback-port.ts", async (load) => {
  const real = await load<typeof LoopbackPort>();
  return { ...real, freePort: vi.fn(real.freePort) };
});

describe("PostgresServer", () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start({ config: { max_connections: 20 } });
  });
  afterAll(async () => {
    await server.stop();
  });

  const query = async (text: string): Promise<unknown[]> => {
    const client = new Client({ connectionString: server.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };

  it("takes connections with its own settings, and refuses a wrong password", async () => {
    expect(await query("SHOW max_connections")).toEqual([{ max_connections: "20" }]);
    const stranger = new Client({ connectionString: server.url.replace(server.password, "wrong") });
    await expect(stranger.connect()).rejects.toThrow("password");
  });

  it("keeps what was committed over kill and restart, on the same port", async () => {
    await query("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)");
    const { port } = server;
    const open = new Client({ connectionString: server.url });
    const lost = new Promise((resolve) => {
      open.on("error", resolve);
    });
    await open.connect();
    await server.kill();
    expect(server.isRunning).toBe(false);
    await lost;
    await server.restart();
    expect(server.port).toBe(port);
    expect(await query("SELECT id FROM kept")).toEqual([{ id: 7 }]);
    expect(() => server.pid).not.toThrow();
  });

  it("takes another port when another process took the chosen one in the meantime", async () => {
    vi.mocked(freePort).mockResolvedValueOnce(server.port);
    await using other = await PostgresServer.start();
    expect(other.port).not.toBe(server.port);
    expect(await query("SELECT 1 AS mine")).toEqual([{ mine: 1 }]);
  });

  it("says what is wrong with a setting", async () => {
    await expect(PostgresServer.start({ config: { nonsense: 1 } })).rejects.toThrow(/did not start[^]*nonsense/);
  });

  it("leaves nothing behind, neither after stop nor after its test process is killed with SIGKILL", async () => {
    const script = await startScript(`
      import { PostgresServer } from "@holdfast/testkit";
      const [stopped, left] = await Promise.all([PostgresServer.start(), PostgresServer.start()]);
      const stoppedPid = stopped.pid;
      await stopped.stop();
      console.log(JSON.stringify([stoppedPid, left.pid]));
      console.log(JSON.stringify([stopped.directory, left.directory]));
      setInterval(() => {}, 1000);
    `);
    const pids: number[] = JSON.parse(await script.line());
    const directories: string[] = JSON.parse(await script.line());
    expect(pids.map((pid) => isAlive(pid))).toEqual([false, true]);
    expect(directories.map((directory) => existsSync(directory))).toEqual([false, true]);
    script.child.kill("SIGKILL");
    await pollUntil("the server is dead", () => !pids.some((pid) => isAlive(pid)));
    await pollUntil("its data is gone", () => !directories.some((directory) => existsSync(directory)));
  });
});
