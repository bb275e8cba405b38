/** What `npm test` and `npm run demo` start, in a tiny workspace of its own with the tools that this one has. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { root } from "../workspace.ts";

const JOB = `
if (process.argv[2] === "wait") {
  process.on("SIGTERM", () => process.exit(3));
  setInterval(() => undefined, 1000);
  console.log("ready");
} else if (process.argv[2] === "die") {
  process.kill(process.pid, "SIGKILL");
} else {
  console.log(JSON.stringify({ args: process.argv.slice(2), node: process.versions.node, path: process.env["PATH"] }));
  process.exitCode = 7;
}
`;

const REDIS = { REDIS_URL: "redis://127.0.0.1:1" };
let folder = "";
let onlyNode = "";

function start(args: readonly string[], env: Record<string, string>) {
  const path = { PATH: onlyNode, HOME: folder };
  return spawn(process.execPath, [join(folder, "scripts/bootstrap.mjs"), ...args], {
    env: { ...path, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function run(args: readonly string[], env: Record<string, string> = REDIS) {
  const child = start(args, env);
  const [out, err, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { out, err, code: code as number | null, signal: signal as string | null };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-bootstrap-"));
  onlyNode = join(folder, "bin");
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { packageManager: string };
  const files: Record<string, string> = {
    "package.json": JSON.stringify({ name: "tiny", private: true, packageManager: manifest.packageManager }),
    "pnpm-workspace.yaml": "packages:\n  - packages/*\npmOnFail: ignore\n",
    "pnpm-lock.yaml":
      "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\nimporters:\n\n  .: {}\n",
    "scripts/test.ts": JOB,
    ".tools/keep": "",
    "bin/keep": "",
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  cpSync(join(root, "scripts/bootstrap.mjs"), join(folder, "scripts/bootstrap.mjs"));
  symlinkSync(join(root, ".tools/node_modules"), join(folder, ".tools/node_modules"));
  symlinkSync(process.execPath, join(onlyNode, "node"));
  symlinkSync("/bin/sh", join(onlyNode, "sh"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the bootstrap", () => {
  it("sets up once, says so, and becomes the job with its arguments and its exit code", async () => {
    const first = await run(["test", "--only", "lint"]);
    expect(first.err).toBe("[setup] installing the workspace's packages (a minute the first time)\n");
    expect(first.code).toBe(7);
    const installedNs = (): bigint => statSync(join(folder, ".tools/installed.sha256"), { bigint: true }).mtimeNs;
    const atNs = installedNs();
    // The machine may stand still in the middle of one of them, though not of all.
    const tookMs: number[] = [];
    let second = first;
    do {
      const startedMs = performance.now();
      second = await run(["test", "--only", "lint"]);
      tookMs.push(performance.now() - startedMs);
      expect(second).toMatchObject({ err: "", code: 7 });
    } while (tookMs.length < 10 && Math.min(...tookMs) >= 2_000);
    expect(Math.min(...tookMs)).toBeLessThan(2_000);
    expect(installedNs()).toBe(atNs);
    const seen = JSON.parse(second.out) as { args: string[]; node: string; path: string };
    expect(seen.args).toEqual(["--only", "lint"]);
    expect(Number(seen.node.split(".")[0])).toBeGreaterThanOrEqual(24);
    expect(seen.path).toContain(join(folder, ".tools/node_modules/.bin"));
  });

  it("sets up again when a manifest changed", async () => {
    mkdirSync(join(folder, "packages/a"), { recursive: true });
    writeFileSync(join(folder, "packages/a/package.json"), JSON.stringify({ name: "a", version: "1.0.0" }));
    expect((await run(["test"])).err).toContain("installing the workspace's packages");
    expect((await run(["test"])).err).toBe("");
  });

  it("stops with the ways to get a redis-server when there is none and it may not install one", async () => {
    const { code, err, out } = await run(["test"], {});
    expect(code).toBe(1);
    expect(out).toBe("");
    for (const way of ["apt-get install redis-server", "brew install redis", "REDIS_URL=", "HOLDFAST_REDIS_SERVER="]) {
      expect(err.split("\n").filter((line) => line.includes(way))).toHaveLength(1);
    }
  });

  it("stops when the redis-server in PATH is too old, and takes one that is not", async () => {
    const binary = join(onlyNode, "redis-server");
    for (const [version, code] of [
      ["6.0.16", 1],
      ["7.0.15", 7],
    ] as const) {
      writeFileSync(binary, `#!/bin/sh\necho "Redis server v=${version} sha=00000000:0 bits=64"\n`, { mode: 0o755 });
      const done = await run(["test"], {});
      rmSync(binary);
      expect(done.code).toBe(code);
      expect(done.err).toContain(code === 1 ? "is 6.0.16, 7 or later is needed" : "");
    }
  });

  describe("with an apt-get in PATH", () => {
    // It stands for apt-get, so that no test installs anything: with no lists it knows no package.
    const APT = `#!${process.execPath}
const { appendFileSync, existsSync, writeFileSync } = require("node:fs");
const [verb] = process.argv.slice(2);
const { HOME, DEBIAN_FRONTEND } = process.env;
appendFileSync(HOME + "/apt.log", [...process.argv.slice(2), DEBIAN_FRONTEND].join(" ") + "\\n");
if (verb === "update") writeFileSync(HOME + "/apt.lists", "");
else if (!existsSync(HOME + "/apt.lists")) process.exitCode = 100;
else writeFileSync(HOME + "/bin/redis-server", "#!/bin/sh\\necho Redis server v=7.0.15\\n", { mode: 0o755 });
`;
    /** Who asks: the bootstrap reads it from its process. */
    const as = (uid: number): Record<string, string> => ({
      NODE_OPTIONS: `--import=data:text/javascript,process.getuid=()=>${uid}`,
    });
    const isDebian = existsSync("/etc/debian_version");
    const asked = (): string[] =>
      existsSync(join(folder, "apt.log")) ? readFileSync(join(folder, "apt.log"), "utf8").trim().split("\n") : [];

    beforeEach(() => writeFileSync(join(onlyNode, "apt-get"), APT, { mode: 0o755 }));
    afterEach(() => {
      for (const name of ["bin/apt-get", "bin/redis-server", "apt.log", "apt.lists"])
        rmSync(join(folder, name), { force: true });
    });

    it("installs a redis-server as root on Debian and Ubuntu, after a look at the lists when those are old, and once", async () => {
      const first = await run(["test"], as(0));
      if (!isDebian) {
        expect([first.code, asked()]).toEqual([1, []]);
        return;
      }
      const install = "install -y --no-install-recommends redis-server noninteractive";
      expect(first).toMatchObject({ code: 7 });
      expect(first.err).toBe(
        "[setup] installing redis-server with apt-get\n[setup] refreshing the package lists of apt-get first\n",
      );
      expect(asked()).toEqual([install, "update noninteractive", install]);
      expect(await run(["test"], as(0))).toMatchObject({ code: 7, err: "" });
      expect(asked()).toHaveLength(3);
    });

    it("touches nothing as anybody else, and says how to get one", async () => {
      const { code, err } = await run(["test"], as(1_000));
      expect(code).toBe(1);
      expect(err).toContain("sudo apt-get install redis-server");
      expect(asked()).toEqual([]);
    });

    it("asks for none where REDIS_URL names a server that runs already", async () => {
      expect(await run(["test"], { ...as(0), ...REDIS })).toMatchObject({ code: 7, err: "" });
      expect(asked()).toEqual([]);
    });
  });

  it("takes a named binary, and says when it cannot be run", async () => {
    expect(await run(["test"], { HOLDFAST_REDIS_SERVER: "/nowhere/valkey-server" })).toMatchObject({
      code: 1,
      err: expect.stringContaining("/nowhere/valkey-server, which cannot be run") as string,
    });
    expect(await run(["test"], { HOLDFAST_REDIS_SERVER: process.execPath })).toMatchObject({ code: 7, err: "" });
  });

  it("passes signals on and answers with the job's exit code", async () => {
    const child = start(["test", "wait"], REDIS);
    const ended = once(child, "close");
    await once(child.stdout, "data");
    child.kill("SIGTERM");
    expect(await ended).toEqual([3, null]);
  });

  it("ends by the signal that ended the job", async () => {
    expect(await run(["test", "die"])).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  it("knows its jobs", async () => {
    expect(await run(["tset"])).toMatchObject({
      code: 1,
      err: "[setup] one of demo, test, setup is wanted, got tset\n",
    });
  });
});
