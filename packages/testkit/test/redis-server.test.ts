import { existsSync } from "node:fs";

import { afterEach, describe, expect, it, vi } from "vitest";
import { pollUntil, RedisServer } from "../src/index.ts";
import type * as LoopbackPort from "../src/loopback-port.ts";
import { freePort } from "../src/loopback-port.ts";
import { isAlive, isStopped } from "./process-state.ts";
import { startScript } from "./script.ts";

// Lets a test decide which port is chosen next; everything else is real.
vi.mock("../src/loopback-port.ts", async (load) => {
  const real = await load<typeof LoopbackPort>();
  return { ...real, freePort: vi.fn(real.freePort) };
});

describe("RedisServer", () => {
  const started: RedisServer[] = [];
  const start = async (options?: Parameters<typeof RedisServer.start>[0]): Promise<RedisServer> => {
    const server = await RedisServer.start(options);
    started.push(server);
    return server;
  };
  afterEach(async () => {
    await Promise.all(started.splice(0).map((server) => server.stop()));
  });

  it("starts on its own port, answers at once, and leaves neither process nor directory behind", async () => {
    const server = await start();
    const { pid, directory } = server;
    expect(await server.call("PING")).toBe("PONG");
    expect(server.url).toBe(`redis://127.0.0.1:${server.port}`);
    expect(existsSync(directory)).toBe(true);
    await server.stop();
    await server.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(directory)).toBe(false);
  });

  it("starts many at the same moment on different ports", async () => {
    const servers = await Promise.all(Array.from({ length: 8 }, () => start()));
    expect(new Set(servers.map((server) => server.port)).size).toBe(8);
    expect(await Promise.all(servers.map((server) => server.call("PING")))).toEqual(Array(8).fill("PONG"));
  });

  it("keeps every write over kill and restart with the append-only file, on the same port", async () => {
    const server = await start({ aof: "always" });
    await server.call("SET", "a", "1");
    const { port } = server;
    expect(await server.kill()).toEqual({ code: null, signal: "SIGKILL" });
    expect(server.isRunning).toBe(false);
    await expect(server.call("PING")).rejects.toThrow("ECONNREFUSED");
    await server.restart();
    expect(server.port).toBe(port);
    expect(await server.call("GET", "a")).toBe("1");
  });

  it("loses everything over a kill without the append-only file", async () => {
    const server = await start();
    await server.call("SET", "a", "1");
    await server.restart();
    expect(await server.call("GET", "a")).toBe(null);
  });

  it("answers nothing while paused and everything after it", async () => {
    const server = await start();
    server.pause();
    let answered = false;
    const reply = server.call("PING").then((answer) => {
      answered = true;
      return answer;
    });
    await pollUntil("the server is stopped", () => !answered && isStopped(server.pid));
    expect([answered, server.isPaused]).toEqual([false, true]);
    server.resume();
    expect(await reply).toBe("PONG");
    expect(server.isPaused).toBe(false);
    server.pause();
    await server.restart();
    expect(server.isPaused).toBe(false);
  });

  it("passes directives on, also a password, which is then part of the url", async () => {
    const server = await start({ config: { requirepass: "a@b:c", maxmemory: "50mb", save: ["60 1000", "300 10"] } });
    expect(server.url).toContain("redis://:a%40b%3Ac@127.0.0.1");
    expect(await server.call("CONFIG", "GET", "save")).toEqual(["save", "60 1000 300 10"]);
    expect(await server.call("CONFIG", "GET", "maxmemory")).toEqual(["maxmemory", String(50 * 1024 * 1024)]);
  });

  it("says what is wrong with a configuration, and with a missing program", async () => {
    await expect(start({ config: { nonsense: "1" } })).rejects.toThrow(/did not start[^]*nonsense/);
    await expect(start({ binary: "/no/such/redis" })).rejects.toThrow("HOLDFAST_REDIS_SERVER");
    await expect(start({ config: { save: "1 1\nport 1" } })).rejects.toThrow(TypeError);
  });

  it("runs the program that HOLDFAST_REDIS_SERVER names", async () => {
    vi.stubEnv("HOLDFAST_REDIS_SERVER", "/no/such/redis");
    await expect(start()).rejects.toThrow("Cannot run /no/such/redis");
    vi.unstubAllEnvs();
    expect(await (await start()).call("PING")).toBe("PONG");
  });

  it("takes another port when another process took the chosen one in the meantime", async () => {
    const foreign = await start();
    vi.mocked(freePort).mockResolvedValueOnce(foreign.port).mockResolvedValueOnce(foreign.port);
    const server = await start();
    expect(server.port).not.toBe(foreign.port);
    expect(await server.call("SET", "mine", "1")).toBe("OK");
    expect(await foreign.call("GET", "mine")).toBe(null);
  });

  it("gives up when every attempt finds its port taken", async () => {
    const foreign = await start();

    // The directive wins over the chosen port and is in use every time: the attempts are bounded.
    await expect(start({ config: { port: foreign.port } })).rejects.toThrow("in use");
  });

  it("wraps a server that runs already, and refuses to kill it", async () => {
    const own = await start({ config: { requirepass: "secret" } });
    const wrapped = await start({ url: own.url });
    expect(await wrapped.call("PING")).toBe("PONG");
    expect(wrapped.port).toBe(own.port);
    await expect(wrapped.kill()).rejects.toThrow("was not started here");
    await expect(wrapped.restart()).rejects.toThrow("was not started here");
    expect(() => wrapped.pause()).toThrow("was not started here");
    await wrapped.stop();
    expect(await own.call("PING")).toBe("PONG");
  });

  it("leaves nothing behind when the process that started it is killed with SIGKILL", async () => {
    const script = await startScript(`
      import { RedisServer } from "@holdfast/testkit";
      const servers = await Promise.all([RedisServer.start({ aof: true }), RedisServer.start()]);
      servers[1].pause();
      console.log(JSON.stringify(servers.map((server) => ({ pid: server.pid, directory: server.directory }))));
      setInterval(() => {}, 1000);
    `);
    const servers: { pid: number; directory: string }[] = JSON.parse(await script.line());
    expect(servers.every((server) => isAlive(server.pid))).toBe(true);
    script.child.kill("SIGKILL");
    await pollUntil("servers are dead", () => !servers.some((server) => isAlive(server.pid)));
    await pollUntil("directories are gone", () => !servers.some((server) => existsSync(server.directory)));
  });

  it("does not keep the process alive, and is cleaned up when that ends without stopping it", async () => {
    const script = await startScript(`
      import { RedisServer } from "@holdfast/testkit";
      const server = await RedisServer.start();
      console.log(JSON.stringify(server.pid));
      process.exit(0);
    `);
    const pid: number = JSON.parse(await script.line());
    await pollUntil("the server is dead", () => !isAlive(pid));
  });

  it("is still guarded after somebody killed the guardian", async () => {
    const script = await startScript(`
      import { execFileSync } from "node:child_process";
      import { pollUntil, RedisServer } from "@holdfast/testkit";
      const server = await RedisServer.start();
      const guardian = () => {
        const children = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" }).split("\\n");
        return children.find((line) => line.includes("guardian-process"))?.trim().split(" ")[0];
      };
      const killed = guardian();
      process.kill(Number(killed), "SIGKILL");
      await pollUntil("there is another guardian", () => ![undefined, killed].includes(guardian()));
      console.log(JSON.stringify(server.pid));
      setInterval(() => {}, 1000);
    `);
    const pid: number = JSON.parse(await script.line());
    script.child.kill("SIGKILL");
    await pollUntil("the server is dead", () => !isAlive(pid));
  });
});
