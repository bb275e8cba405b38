/** The private Redis of a run. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { Bench } from "./figure.ts";

/** A started server, and what closes it. */
export interface BenchServer extends AsyncDisposable {
  readonly bench: Bench;
  readonly version: string;
}

function parse(section: string): Record<string, string> {
  return Object.fromEntries(
    section.split("\r\n").flatMap((line) => {
      const colon = line.indexOf(":");
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
    }),
  );
}

/** Commands that the measuring itself issues, and those that open a connection. */
const ownCommands = new Set([
  "info",
  "config|resetstat",
  "flushall",
  "client|setinfo",
  "hello",
  "client|setname",
  "command",
]);

/** Starts redis-server without persistence on a free port. */
export async function startBenchServer(): Promise<BenchServer> {
  const server = await RedisServer.start();
  const admin = new Redis({ host: server.host, port: server.port });
  const info = async (section: string): Promise<Record<string, string>> => parse(await admin.info(section));
  const retained: object[] = [];
  const bench: Bench = {
    host: server.host,
    port: server.port,
    flush: async () => {
      await admin.flushall();
    },
    info,
    resetCommands: async () => {
      await admin.config("RESETSTAT");
    },
    retain: (client) => retained.push(client),
    commands: async () => {
      let sum = 0;
      for (const [key, value] of Object.entries(await info("commandstats"))) {
        if (ownCommands.has(key.slice("cmdstat_".length))) continue;
        sum += Number(/calls=(\d+)/u.exec(value)?.[1] ?? 0);
      }
      return sum;
    },
  };
  return {
    bench,
    version: (await info("server"))["redis_version"] ?? "unknown",
    async [Symbol.asyncDispose]() {
      retained.length = 0;
      admin.disconnect();
      await server.stop();
    },
  };
}
