/** A program that counts in Redis through core, for pause.test.ts. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { Connection, HoldfastError } from "../src/index.ts";
import { apply } from "./test-script.ts";

const client = new Redis(process.env["URL"] ?? "");
const connection = Connection.of(client);

async function add(operationId: string, timeoutMs: number): Promise<unknown> {
  const keys = { count: "{k}count", record: `{k}record:${operationId}` };
  try {
    return await connection.run(apply, keys, { operationId }, { operation: "add", operationId, timeoutMs });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { name: error.name, effect: error.effect };
  }
}

servePod({ add: ({ id, timeoutMs }: { id: string; timeoutMs: number }) => add(id, timeoutMs) });
reportReady();
