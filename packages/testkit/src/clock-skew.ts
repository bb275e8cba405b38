/**
 * Steps the wall clock of single processes, while they run, without touching the machine's: a library compiled with the system's C
 * compiler is loaded into them first (LD_PRELOAD). Monotonic clocks stay right, as they do when NTP steps a real clock.
 */
import { execFile } from "node:child_process";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { clockSkewShim } from "./clock-skew-shim.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./temporary-directory.ts";

const run = promisify(execFile);

/** One compiled library per process of this package, made at the first use. */
let library: Promise<string> | undefined;

/** The clock of every process started with `env`. One instance for each group of processes that shall agree. */
export class ClockSkew implements AsyncDisposable {
  /** Start a server or a pod with these variables: `RedisServer.start({ env: skew.env })`. */
  readonly env: Readonly<Record<string, string>>;
  readonly #directory: string;
  #removed = false;
  readonly #file: string;
  #current = 0;

  private constructor(directory: string, file: string, shim: string) {
    this.#directory = directory;
    this.#file = file;
    this.env = { LD_PRELOAD: shim, HOLDFAST_SKEW_FILE: file };
  }

  /** Whether this machine can do it: Linux with a C compiler named `cc`. */
  static async available(): Promise<boolean> {
    return compiled().then(
      () => true,
      () => false,
    );
  }

  /**
   * Prepares a clock that is right until {@link set} is called.
   *
   * @throws Error when this machine cannot do it.
   */
  static async create(): Promise<ClockSkew> {
    const shim = await compiled();
    const directory = await makeTemporaryDirectory("skew");
    const file = join(directory, "offset");
    const skew = new ClockSkew(directory, file, shim);
    await writeFile(file, Buffer.alloc(8));
    return skew;
  }

  /** By how much the clock is ahead, in milliseconds; negative when it is behind. */
  get offsetMs(): number {
    return this.#current;
  }

  /** Steps the clock so that it is ahead of the true time by this much from now on; negative for behind. Seen at once. */
  async set(offsetMs: number): Promise<void> {
    if (!Number.isSafeInteger(offsetMs)) throw new RangeError(`offsetMs must be an integer, got ${offsetMs}.`);
    const bytes = Buffer.alloc(8);
    // The number is read by the same machine's processor.
    if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 1) bytes.writeBigInt64LE(BigInt(offsetMs));
    else bytes.writeBigInt64BE(BigInt(offsetMs));
    // In place and in one write: the processes have this very file mapped.
    await using file = await open(this.#file, "r+");
    await file.write(bytes, 0, bytes.length, 0);
    this.#current = offsetMs;
  }

  /** Sets the clock right and removes the file, once. Processes that still run keep the right time. */
  async remove(): Promise<void> {
    if (this.#removed) return;
    this.#removed = true;
    await this.set(0);
    await removeTemporaryDirectory(this.#directory);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }
}

function compiled(): Promise<string> {
  library ??= compile();
  return library;
}

async function compile(): Promise<string> {
  if (process.platform !== "linux") throw new Error(`ClockSkew needs Linux, this is ${process.platform}.`);
  const directory = await makeTemporaryDirectory("shim");
  const source = join(directory, "skew.c");
  const target = join(directory, "skew.so");
  await writeFile(source, clockSkewShim);
  try {
    await run("cc", ["-shared", "-fPIC", "-O2", "-o", target, source]);
  } catch (cause) {
    throw new Error("ClockSkew needs a C compiler named cc (apt-get install gcc).", { cause });
  }
  return target;
}
