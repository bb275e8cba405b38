/** Owns the question whether there is a container engine. No image can be pulled where this runs, so Ryuk, which is one, is switched off. */
import { getContainerRuntimeClient } from "testcontainers";
import type { ContainerRuntimeClient } from "testcontainers";

process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";

/** The engine, or null when none answers. */
export async function findEngine(): Promise<ContainerRuntimeClient | null> {
  try {
    return await getContainerRuntimeClient();
  } catch {
    return null;
  }
}
