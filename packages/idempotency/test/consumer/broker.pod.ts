/** A RabbitMQ of its own on free loopback ports. Everything it starts ends with this process. */
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pollUntil, reportReady, servePod } from "@holdfast/testkit";

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(() => resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-rabbitmq-"));
const [port, distribution, epmd] = await Promise.all([freePort(), freePort(), freePort()]);
writeFileSync(
  join(folder, "rabbitmq.conf"),
  `listeners.tcp.1 = 127.0.0.1:${port}\nloopback_users = none\ndisk_free_limit.absolute = 1MB\n`,
);
writeFileSync(join(folder, "enabled_plugins"), "[].\n");
const env = {
  ...process.env,
  HOME: folder,
  ERL_EPMD_ADDRESS: "127.0.0.1",
  ERL_EPMD_PORT: String(epmd),
  RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
  RABBITMQ_DIST_PORT: String(distribution),
  RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
  RABBITMQ_LOGS: "-",
  RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
  RABBITMQ_NODENAME: `holdfast${port}@localhost`,
  RABBITMQ_NODE_PORT: String(port),
  RABBITMQ_PID_FILE: join(folder, "pid"),
};
// In the foreground and before the broker, which would leave one in the background.
spawn("/usr/bin/epmd", ["-port", String(epmd), "-address", "127.0.0.1"], { env, stdio: "ignore" });
const broker = spawn("/usr/lib/rabbitmq/bin/rabbitmq-server", [], { env, stdio: ["ignore", "inherit", "inherit"] });
broker.once("exit", (code) => {
  console.error(`rabbitmq-server ended with ${code}`);
  process.exit(1);
});
servePod({ folder: () => folder });
await pollUntil("RabbitMQ answers", () => answers(port), { timeoutMs: 60_000, intervalMs: 50 });
reportReady(port);
