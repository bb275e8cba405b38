/** Lua headers against what the scripts do: the repository, and violations planted to see them caught. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { fragmentFolders, generatedModule, luaFiles, readScript, sharedFragments } from "../lua/embed.ts";
import type { LuaScript } from "../lua/embed.ts";
import { parseLua } from "../lua/parse.ts";
import { aclProblems } from "../tidy/acl-lines.ts";
import { conductProblems, fragmentProblems } from "../tidy/lua-conduct.ts";
import { inputProblems } from "../tidy/lua-inputs.ts";
import { packages, root } from "../workspace.ts";

const HEADER = `--[[
take: hands a thing out.

KEYS
  due       ZSET  id -> score
  data      HASH  id -> record
ARGV
  nowMs     a bound in ms
  items...  per item: id
REPLIES
  {"taken", count}   what was taken
]]
`;
const BOUND = "local due, data = KEYS[1], KEYS[2]\nlocal nowMs = tonumber(ARGV[1])\n";
const REST = "for i = 2, #ARGV do\n  redis.call('ZADD', due, nowMs, ARGV[i])\nend\nreturn { 'taken', data }\n";

function script(body: string, header = HEADER): LuaScript {
  return readScript(header + body, "packages/p/src/scripts/take.lua", () => ({
    file: "shared/time.lua",
    text: "-- time.\nlocal t = redis.call('TIME')\n",
  }));
}

const everyScript = packages().flatMap(({ folder }) =>
  luaFiles(folder).map((file) =>
    readScript(readFileSync(file, "utf8"), relative(root, file), sharedFragments(root, folder)),
  ),
);

describe("every Lua file", () => {
  it("keeps its header's word", () => {
    const problems = everyScript.flatMap((each) => [...inputProblems(each), ...conductProblems(each)]);
    expect(problems).toEqual([]);
  });

  it("calls nothing that its package's README does not grant", () => {
    const problems = packages().flatMap(({ folder, path }) => {
      const scripts = everyScript.filter(({ file }) => file.startsWith(`${path}/`));
      return aclProblems(`${path}/README.md`, readFileSync(join(folder, "README.md"), "utf8"), scripts);
    });
    expect(problems).toEqual([]);
  });

  it("whose README grants too little, or nothing, is found", () => {
    const taking = script(BOUND + REST);
    const granting = (line: string): string[] => aclProblems("README.md", `text\n${line}\n`, [taking]);
    expect(granting("ACL SETUSER service on +time +zadd +hget")).toEqual([]);
    expect(granting("ACL SETUSER service on +time +zaddx")).toEqual([
      "README.md: nothing grants +zadd, which packages/p/src/scripts/take.lua calls",
    ]);
    expect(granting("")).toEqual(["README.md: no line that begins with ACL SETUSER"]);
  });

  it("is embedded as it stands", () => {
    const stale = packages().filter(({ folder }) => {
      const file = join(folder, "src/scripts.generated.ts");
      return generatedModule(root, folder) !== (existsSync(file) ? readFileSync(file, "utf8") : null);
    });
    expect(stale.map(({ path }) => path)).toEqual([]);
  });

  it("takes its inputs itself: no fragment reads any", () => {
    const folders = new Set(packages().flatMap(({ folder }) => fragmentFolders(root, folder)));
    const fragments = [...folders].flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
    const problems = fragments.flatMap((file) =>
      fragmentProblems(file, parseLua(readFileSync(file, "utf8"), file).chunk),
    );
    expect(problems).toEqual([]);
  });
});

describe("a header", () => {
  it("that tells the truth passes", () => {
    const good = script(BOUND + REST);
    expect([...inputProblems(good), ...conductProblems(good)]).toEqual([]);
  });

  it.each([
    ["a key under another name", BOUND.replace("data =", "other ="), "KEYS[2] is data in the header and other here"],
    ["keys in another order", BOUND.replace("KEYS[1], KEYS[2]", "KEYS[2], KEYS[1]"), "KEYS[2] is bound out of order"],
    [
      "an argument that is not bound",
      BOUND.replace(/local nowMs.*\n/, "local nowMs = 1\n"),
      "nowMs is declared in ARGV and not bound",
    ],
    ["an index beyond the declared ones", `${BOUND}local more = ARGV[2]\n`, "the header declares no ARGV[2]"],
    ["a key read below", `${BOUND}local x = 1\nredis.call('DEL', KEYS[1])\n`, "take.lua:16: KEYS is read below"],
    ["an argument read below", `${BOUND}local x = 1\nlocal y = ARGV[1]\n`, "take.lua:16: ARGV is read below"],
    ["a key read by a computed index", `${BOUND}local x = 1\nlocal y = KEYS[x]\n`, "KEYS is read below"],
  ])("is held against %s", (_, head, message) => {
    expect(inputProblems(script(head + REST)).join("\n")).toContain(message);
  });

  it("that declares a variadic tail wants it read, and the other way round", () => {
    expect(inputProblems(script(`${BOUND}return { 'taken' }\n`)).join()).toContain(
      "items... is declared and never read",
    );
    expect(inputProblems(script(BOUND + REST, HEADER.replace(/ {2}items.*\n/, ""))).join()).toContain(
      "ARGV is read as a list",
    );
  });

  it("that declares a variadic tail of keys wants it read as a list", () => {
    const header = HEADER.replace(/ {2}data .*\n/, "  datas...  HASH  id -> record\n");
    const bound = "local due = KEYS[1]\nlocal nowMs = tonumber(ARGV[1])\n";
    const loop = "for i = 2, #KEYS do\n  redis.call('DEL', KEYS[i])\nend\n";
    expect(inputProblems(script(bound + loop + REST.replace(", data", ""), header))).toEqual([]);
    expect(inputProblems(script(bound + REST.replace(", data", ""), header)).join()).toContain(
      "datas... is declared in KEYS and never read",
    );
  });

  it.each([
    ["a reply it does not know", "do return { 'late' } end\n", 'does not know the reply "late"'],
    ["a reply that is a number", "do return -1 end\n", "a reply is tagged"],
    ["a reply that is a boolean", "do return false end\n", "a reply is tagged"],
  ])("is held against %s", (_, body, message) => {
    expect(conductProblems(script(BOUND + body + REST)).join()).toContain(message);
  });

  it("is held against a reply that is never given", () => {
    expect(conductProblems(script(`${BOUND}return redis.call('GET', due)\n`)).join()).toContain(
      '"taken" of the header is never given',
    );
  });
});

describe("a script", () => {
  it.each([
    ["reads the clock twice", "local a = redis.call('TIME')\nlocal b = redis.call('time')\n", "TIME is read 2 times"],
    ["reads the clock beside its fragment", "-- @include time\nlocal b = redis.call('TIME')\n", "TIME is read 2 times"],
    ["reads the clock in a loop", "for i = 1, 2 do redis.call('TIME') end\n", "TIME is read in a loop"],
    [
      "joins a computed token",
      "local token = nowMs + 1\nlocal s = 'x' .. token\n",
      "token becomes text with 14 digits",
    ],
    [
      "turns a computed token into text",
      "local token = math.max(nowMs, 1)\nlocal s = tostring(token)\n",
      "token becomes text with 14 digits",
    ],
    ["keeps a computed generation as a number", "local generation = nowMs + 1\n", 'never written with "%.0f"'],
    ["lets a hint fail it", "redis.call('PUBLISH', due, '')\n", "PUBLISH goes through redis.pcall"],
    ["unpacks as only 5.1 does", "local x = unpack({})\n", "table.unpack or unpack comes first"],
    ["calls what 5.4 lacks", "local x = math.pow(2, 2)\n", "math.pow is not in both"],
  ])("that %s is caught", (_, body, message) => {
    expect(conductProblems(script(BOUND + body + REST)).join("\n")).toContain(message);
  });

  it.each([
    "local token = nowMs + 1\nlocal s = 'x' .. string.format('%.0f', token)\n",
    "local unpack = table.unpack or unpack\nlocal x = unpack({})\n",
    "redis.pcall('SPUBLISH', due, '')\n",
    "-- @include time\n",
  ])("that does it right passes: %s", (body) => {
    expect(conductProblems(script(BOUND + body + REST))).toEqual([]);
  });

  it("whose fragment reads an input is caught", () => {
    expect(fragmentProblems("x.lua", parseLua("local a = KEYS[1]\n", "x.lua").chunk)).toHaveLength(1);
  });
});
