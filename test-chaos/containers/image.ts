/** The image of every container: FROM scratch, with this machine's redis-server and node and the libraries that they name. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { GenericContainer } from "testcontainers";

const run = promisify(execFile);
/** Stays in the engine: building it again finds every layer there. */
const imageName = "holdfast-chaos:local";

async function pathOf(program: string): Promise<string> {
  const { stdout } = await run("sh", ["-c", `command -v ${program}`]);
  return realpath(stdout.trim());
}

/** Shared libraries, at the paths where the dynamic linker looks for them. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run("ldd", [program]);
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
}

/** Builds the image. @param context an empty folder for what it is made of */
export async function buildImage(context: string): Promise<string> {
  const programs = {
    "/node": process.execPath,
    "/redis-server": await pathOf(process.env["HOLDFAST_REDIS_SERVER"] ?? "redis-server"),
  };
  const libraries = new Set((await Promise.all(Object.values(programs).map(librariesOf))).flat());
  const files = [...Object.entries(programs), ...[...libraries].map((path) => [path, path] as const)];
  for (const [target, source] of files) {
    const copy = join(context, "rootfs", target);
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(source, copy);
  }
  await mkdir(join(context, "rootfs/tmp"), { recursive: true });
  await writeFile(join(context, "rootfs/tmp/.keep"), "");
  await writeFile(join(context, "Dockerfile"), "FROM scratch\nCOPY rootfs/ /\n");
  await GenericContainer.fromDockerfile(context).build(imageName, { deleteOnExit: false });
  return imageName;
}
