/**
 * What `npm run demo` and `npm test` start. Plain JavaScript, since it runs on the node that the machine has, from 20 on.
 * Brings what the job needs (pnpm, Node 24, the workspace's packages, a redis-server), says each step in one line and nothing when there is
 * nothing to do, then becomes the job: signals are passed on, its exit code is ours.
 *
 *     node scripts/bootstrap.mjs demo|test|setup [arguments of the job]
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

const NODE_VERSION = "24.21.0";
const NODE_MAJOR_MIN = 20;
const NODE_MAJOR_WANTED = 24;
/** The first with sharded pub/sub. */
const REDIS_MAJOR_MIN = 7;

const root = join(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), "..");
const tools = join(root, ".tools");
const stamp = join(tools, "installed.sha256");

const JOBS = {
  demo: ["--conditions=@holdfast/source", "examples/demo/src/main.ts"],
  test: ["--conditions=@holdfast/source", "scripts/test.ts"],
  setup: null,
};

class SetupError extends Error {}

function say(line) {
  process.stderr.write(`[setup] ${line}\n`);
}

function majorOf(version) {
  return Number(version.split(".")[0]);
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
}

/** Runs a set-up command silently; its last lines are shown only when it fails. */
function run(command, args, env = process.env) {
  const done = spawnSync(command, args, {
    cwd: root,
    env,
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (done.status === 0) return;
  const output = `${done.stdout ?? ""}${done.stderr ?? ""}`.trim().split("\n").slice(-20).join("\n");
  const why = done.error?.message ?? (done.signal ? `ended by ${done.signal}` : `exit code ${done.status}`);
  throw new SetupError(`${command} ${args[0]} failed (${why})\n${output}`);
}

/** The first executable of this name in PATH, or null. */
function findExecutable(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const file = join(folder, name);
    if (folder !== "" && isExecutable(file)) return file;
  }
  return null;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Brings pnpm, and Node 24 where this node is older, and answers the node to run the job with. */
function bringTools() {
  const pnpmVersion = readJson(join(root, "package.json"))
    .packageManager.replace(/^pnpm@/, "")
    .replace(/\+.*$/, "");
  const wanted = [["pnpm", pnpmVersion]];
  let node = process.execPath;
  if (majorOf(process.versions.node) < NODE_MAJOR_WANTED) {
    if (!["linux", "darwin"].includes(process.platform))
      throw new SetupError(`on ${process.platform}, install Node ${NODE_MAJOR_WANTED} and run this again`);
    const name = `node-${process.platform}-${process.arch}`;
    wanted.push([name, NODE_VERSION]);
    node = join(tools, "node_modules", name, "bin/node");
  }
  const present = wanted.every(
    ([name, version]) => readJson(join(tools, "node_modules", name, "package.json")).version === version,
  );
  if (present) return node;
  say(`bringing ${wanted.map(([name, version]) => `${name} ${version}`).join(" and ")} into .tools/`);
  mkdirSync(tools, { recursive: true });
  const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--include=optional"];
  const install = [
    "install",
    "--prefix",
    tools,
    "--no-save",
    ...quiet,
    ...wanted.map(([name, version]) => `${name}@${version}`),
  ];
  const npm = process.env.npm_execpath ?? "";
  if (npm.endsWith("npm-cli.js")) run(process.execPath, [npm, ...install]);
  else run("npm", install);
  return node;
}

/** A digest of all that decides what an install makes. */
function installDigest() {
  const folders = ["packages", "examples"].flatMap((parent) => {
    const folder = join(root, parent);
    return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  });
  const manifests = [root, join(root, "test-chaos"), join(root, "benchmarks"), ...folders].map((folder) =>
    join(folder, "package.json"),
  );
  const hash = createHash("sha256");
  for (const file of [...manifests, join(root, "pnpm-workspace.yaml"), join(root, "pnpm-lock.yaml")]) {
    if (existsSync(file)) hash.update(`${file.slice(root.length)}\n`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

function installPackages(env) {
  const digest = installDigest();
  const known = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (known === digest && existsSync(join(root, "node_modules/.modules.yaml"))) return;
  say("installing the workspace's packages (a minute the first time)");
  run(
    join(tools, "node_modules/.bin/pnpm"),
    ["install", "--frozen-lockfile", "--config.confirmModulesPurge=false"],
    env,
  );
  writeFileSync(stamp, digest);
}

const REDIS_WAYS = [
  "  Debian, Ubuntu:  sudo apt-get install redis-server",
  "  macOS:           brew install redis",
  "  a running one:   REDIS_URL=redis://host:port before the command",
  "  another binary:  HOLDFAST_REDIS_SERVER=/path/to/redis-server before the command",
];

function checkRedisVersion(binary) {
  const { stdout } = spawnSync(binary, ["--version"], { encoding: "utf8" });
  const version = /\bv=(\d+)\.\S*/.exec(stdout ?? "");
  if (version === null || Number(version[1]) >= REDIS_MAJOR_MIN) return;
  throw new SetupError(
    [`${binary} is ${version[0].slice(2)}, ${REDIS_MAJOR_MIN} or later is needed:`, ...REDIS_WAYS].join("\n"),
  );
}

function installRedis() {
  const apt = process.platform === "linux" && existsSync("/etc/debian_version") ? findExecutable("apt-get") : null;
  if (apt === null || process.getuid() !== 0) {
    throw new SetupError(
      [`redis-server ${REDIS_MAJOR_MIN} or later is needed and is not in PATH:`, ...REDIS_WAYS].join("\n"),
    );
  }
  say("installing redis-server with apt-get");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", "redis-server"];
  try {
    run(apt, install, env);
  } catch {
    say("refreshing the package lists of apt-get first");
    run(apt, ["update"], env);
    run(apt, install, env);
  }
}

/** Makes sure that a redis-server can be started, or that one was named. */
function bringRedis() {
  if (process.env.REDIS_URL) return;
  const named = process.env.HOLDFAST_REDIS_SERVER;
  if (named) {
    if (isExecutable(named) || findExecutable(named)) return;
    throw new SetupError(`HOLDFAST_REDIS_SERVER names ${named}, which cannot be run`);
  }
  if (findExecutable("redis-server") === null) installRedis();
  const binary = findExecutable("redis-server");
  if (binary === null) throw new SetupError("redis-server was installed, but is not in PATH");
  checkRedisVersion(binary);
}

/** Runs the job in our place. A terminal sends its SIGINT to the job as well, so that one is not passed on. */
function become(node, args, env) {
  const child = spawn(node, args, { cwd: root, env, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(error.message);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function main([job, ...args]) {
  if (!(job in JOBS)) throw new SetupError(`one of ${Object.keys(JOBS).join(", ")} is wanted, got ${job ?? "nothing"}`);
  const version = process.versions.node;
  if (majorOf(version) < NODE_MAJOR_MIN)
    throw new SetupError(`Node ${NODE_MAJOR_MIN} or later is needed, this is ${version}`);
  const node = bringTools();
  const path = [dirname(node), join(tools, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path };
  installPackages(env);
  bringRedis();
  if (JOBS[job] !== null) become(node, [...JOBS[job], ...args], env);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  for (const line of error.message.split("\n")) say(line);
  process.exitCode = 1;
}
