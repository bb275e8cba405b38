/** What compiles against core, and what must not. */
import type { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import type { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import {
  checkServer,
  Connection,
  defineScript,
  resolveCommonOptions,
  type CommonOptions,
  type HoldfastError,
  type LeaseEnd,
  type RedisLike,
  type ScriptArgs,
  type ScriptKeys,
  type ServerFinding,
} from "../src/index.ts";

// Clients of both versions, single and Cluster, whatever their reply mapping.
declare const redis5: Redis5;
declare const redis6: Redis6;
declare const cluster5: Cluster5;
declare const cluster6: Cluster6;
for (const client of [redis5, redis6, cluster5, cluster6] satisfies RedisLike[]) {
  Connection.of(client);
  void checkServer(client, { strict: undefined, commandTimeoutMs: undefined, clock: undefined });
}
// @ts-expect-error an address is no client
Connection.of("redis://localhost");
// @ts-expect-error something with a call method is not enough
Connection.of({ call: async () => "OK" });

// Options take explicit undefined under exactOptionalPropertyTypes.
const options: CommonOptions<{ type: "x" }> = {
  prefix: undefined,
  commandTimeoutMs: undefined,
  durability: undefined,
  onEvent: undefined,
};
resolveCommonOptions(options);
resolveCommonOptions<{ type: "x" }>({ onEvent: (event) => void (event.type satisfies "x") });
// @ts-expect-error a duration is a number
resolveCommonOptions({ commandTimeoutMs: "2s" });
// @ts-expect-error durability needs both fields
resolveCommonOptions({ durability: { replicas: 1 } });

// Keys and arguments by name.
const source = {
  name: "test.take",
  keys: ["due", "data"],
  args: ["notAfterUs", "sentUs", "owner"],
  rest: "items",
  replies: ["taken"],
  sha1: "" as string,
  source: "" as string,
} as const;
const take = defineScript(source, () => 5);
const connection = Connection.of(redis6);
const call = { operation: "take", operationId: "1", timeoutMs: 2_000 };
const taken: Promise<number> = connection.run(
  take,
  { due: "a", data: "b" },
  { owner: "me", items: ["x", 1, Buffer.of(1)] },
  call,
);
void taken;
({ due: "a", data: "b" }) satisfies ScriptKeys<typeof source>;
({ owner: 5, items: [] }) satisfies ScriptArgs<typeof source>;
// @ts-expect-error a key is missing
void connection.run(take, { due: "a" }, { owner: "me", items: [] }, call);
// @ts-expect-error a key has another name
void connection.run(take, { due: "a", date: "b" }, { owner: "me", items: [] }, call);
// @ts-expect-error keys and arguments are swapped
void connection.run(take, { owner: "me", items: [] }, { due: "a", data: "b" }, call);
// @ts-expect-error an argument is missing
void connection.run(take, { due: "a", data: "b" }, { items: [] }, call);
// @ts-expect-error the tail is missing
void connection.run(take, { due: "a", data: "b" }, { owner: "me" }, call);
// @ts-expect-error the tail is a list
void connection.run(take, { due: "a", data: "b" }, { owner: "me", items: "x" }, call);
// @ts-expect-error an argument is text, a number or bytes
void connection.run(take, { due: "a", data: "b" }, { owner: true, items: [] }, call);
// @ts-expect-error the bound is the connection's, not the caller's
void connection.run(take, { due: "a", data: "b" }, { owner: "me", items: [], notAfterUs: 1 }, call);
// @ts-expect-error every call has a timeout
void connection.run(take, { due: "a", data: "b" }, { owner: "me", items: [] }, { operation: "take" });
// @ts-expect-error the result is the decoder's
const text: Promise<string> = connection.run(take, { due: "a", data: "b" }, { owner: "me", items: [] }, call);
void text;

// Closed unions stay closed.
declare const error: HoldfastError;
error.effect satisfies "none" | "possible";
// @ts-expect-error the effect is not to be changed
error.effect = "none";
declare const end: LeaseEnd;
end satisfies "expired" | "lost" | "hold-max" | "cancelled" | "released" | "closed";
declare const finding: ServerFinding;
finding.severity satisfies "danger" | "warning" | "info";
