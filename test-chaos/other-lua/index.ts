/** Redis servers whose scripts run in Lua 5.4 instead of 5.1 (K6). */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

const front = join(import.meta.dirname, "main.ts");

/**
 * Writes a program that is started like a redis-server, for the `binary` of a `RedisServer`.
 * @param directory where to
 * @returns its path
 */
export async function writeOtherLuaServer(directory: string): Promise<string> {
  const path = join(directory, "redis-server-lua-5.4");
  const lines = [
    "#!/bin/sh",
    'socket="$(dirname "$1")/behind.sock"',
    `"${process.execPath}" --conditions=@holdfast/source --disable-warning=ExperimentalWarning "${front}" "$1" "$socket" &`,
    'exec "${HOLDFAST_REDIS_SERVER:-redis-server}" "$@" --port 0 --unixsocket "$socket"',
  ];
  await writeFile(path, `${lines.join("\n")}\n`);
  await chmod(path, 0o755);
  return path;
}
