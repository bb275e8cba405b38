/** Which redlock may be stood on. */
import { createRequire } from "node:module";
import { Redis } from "ioredis";
import Redlock from "redlock";
import { expect, it } from "vitest";
import { clientsOf } from "../src/redlock/nodes.ts";

const Redlock4 = createRequire(import.meta.url)("redlock4") as { readonly prototype: object };
const clients = Array.from({ length: 3 }, () => new Redis({ lazyConnect: true }));

it("redlock 4.2.0 in the place of the peer is refused with the reason and what to install", () => {
  expect(() => clientsOf(clients, Redlock4)).toThrow(TypeError);
  expect(() => clientsOf(clients, Redlock4)).toThrow(
    /redlock must be 5\.0\.0-beta\.2, got an older one, which gives the lock away .* install redlock@5\.0\.0-beta\.2/,
  );
});

it("redlock 5.0.0-beta.2 is taken, with its clients or with those that are handed in", () => {
  expect(clientsOf(clients, Redlock)).toBe(clients);
  expect(clientsOf(new Redlock(clients), Redlock)).toEqual(clients);
});
