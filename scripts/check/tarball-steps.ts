/**
 * The steps on what users get: build, publint, attw, and the tarballs in a project of their own.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { packages } from "../workspace.ts";
import { ScratchProject } from "./scratch-project.ts";
import { command, fromProblems } from "./step.ts";
import type { Outcome, Step } from "./step.ts";
import { contentProblems, tarballs } from "./tarball.ts";

async function build(): Promise<Outcome> {
  for (const { folder } of packages()) rmSync(join(folder, "dist"), { recursive: true, force: true });
  const env = { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };
  const { code, output } = await command("turbo", ["run", "build", "--output-logs=errors-only", "--ui=stream"], {
    env,
  });
  return { kind: code === 0 ? "passed" : "failed", note: `${packages().length} packages`, output };
}

async function onEach(program: string, args: (file: string) => readonly string[]): Promise<Outcome> {
  const problems: string[] = [];
  const all = await tarballs();
  for (const { file, member } of all) {
    const { code, output } = await command(program, args(file));
    if (code !== 0) problems.push(`${member.path}\n${output}`);
  }
  return fromProblems(problems, `${all.length} packages`);
}

/** Servers that the examples find in the environment. */
interface Servers {
  readonly env: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

/** A redis-server (the one that was named, or one of our own), and a PostgreSQL when an example asks for one. */
async function openServers(withPostgres: boolean): Promise<Servers> {
  const { PostgresServer, RedisServer } = await import("@holdfast/testkit");
  const named = process.env["REDIS_URL"] ?? "";
  const redis = await RedisServer.start(named === "" ? {} : { url: named });
  try {
    const postgres = withPostgres ? await PostgresServer.start() : null;
    return {
      env: { REDIS_URL: redis.url, ...(postgres === null ? {} : { DATABASE_URL: postgres.url }) },
      stop: async () => {
        await Promise.allSettled([redis.stop(), postgres?.stop()]);
      },
    };
  } catch (error) {
    await redis.stop();
    throw error;
  }
}

async function packed(report: (words: string) => void): Promise<Outcome> {
  const all = await tarballs();
  const problems = all.flatMap((tarball) =>
    contentProblems(tarball).map((problem) => `${tarball.member.path}: ${problem}`),
  );
  using project = new ScratchProject(all);
  report("npm install in a scratch project");
  const installation = await project.install();
  if (installation.length > 0) return fromProblems([...problems, ...installation], "");
  const entries = await project.importEntryPoints(report);
  const examples = project.writeExamples();
  problems.push(...entries.problems, ...(examples.length > 0 ? await project.typecheck() : []));
  if (examples.length > 0) {
    const servers = await openServers(examples.some(({ example }) => example.code.includes("DATABASE_URL")));
    try {
      for (const { example, path } of examples) {
        report(`${example.file}:${example.line}`);
        problems.push(...[await project.run(example, path, servers.env)].filter((problem) => problem !== null));
      }
    } finally {
      await servers.stop();
    }
  }
  return fromProblems(
    problems,
    `${all.length} packages, ${entries.count} entry points, ${examples.length} README examples`,
  );
}

/** In the order in which they build on one another. */
export const tarballSteps: readonly Step[] = [
  { name: "build", run: build },
  { name: "publint", run: () => onEach("publint", (file) => ["run", file, "--strict"]) },
  { name: "attw", run: () => onEach("attw", (file) => [file, "--profile", "esm-only", "--no-emoji"]) },
];

/** The packages as a user would install them. */
export const packedStep: Step = { name: "tarballs", run: packed };
