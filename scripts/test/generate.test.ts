/** The generator on small files: what it embeds, and what it refuses. */
import { describe, expect, it } from "vitest";
import { readScript } from "../lua/embed.ts";
import { renderModule } from "../lua/render.ts";
import { stripComments } from "../lua/strip.ts";

const HEADER = `--[[
take: hands a thing out.

KEYS
  due       ZSET  id -> score
ARGV
  nowMs     a bound in ms
            on two lines
  items...  per item: id
REPLIES
  {"taken", count}   what was taken
  {"too-late"}       nothing was done
]]
`;

const fragments: Record<string, string> = {
  token: "--[[ token: needs last, leaves token. ]]\n-- a note\nlocal token = last + 1\n",
  nested: "-- nested: a fragment.\n-- @include token\n",
  broken: "-- broken: a fragment.\nlocal x =\n",
};

function read(body: string, header = HEADER) {
  return readScript(header + body, "packages/p/src/scripts/take.lua", (name) => {
    const text = fragments[name];
    return text === undefined ? null : { file: `shared/${name}.lua`, text };
  });
}

describe("headers", () => {
  it("give the names of keys, arguments, the variadic tail and the replies", () => {
    expect(read("return 1\n").header).toEqual({
      name: "take",
      purpose: "hands a thing out.",
      keys: ["due"],
      restKeys: null,
      args: ["nowMs"],
      rest: "items",
      replies: ["taken", "too-late"],
    });
  });

  it("give the name of a variadic tail of keys, which is rendered for the caller", () => {
    const { header } = read("return 1\n", HEADER.replace("  due  ", "  first  x\n  dues...  "));
    expect(header).toMatchObject({ keys: ["first"], restKeys: "dues", args: ["nowMs"], rest: "items" });
    expect(renderModule([{ packageName: "p", header, source: "" }])).toContain('  restKeys: "dues",\n');
  });

  it.each([
    ["no header at all", "local x = 1\n", /:1: a Lua file begins with its header/],
    ["another script's name", HEADER.replace("take:", "give:"), /:2: the header opens with "take: "/],
    ["a name that is none", HEADER.replace("nowMs ", "now_ms"), /:7: a camelCase name/],
    ["a name without description", HEADER.replace("nowMs     a bound in ms", "nowMs"), /:7: nowMs has no description/],
    [
      "an argument after the variadic one",
      HEADER.replace("  due  ", "  x...  y\n  due  "),
      /:6: due stands after the variadic x/,
    ],
    ["a reply without a tag", HEADER.replace('{"too-late"} ', "false        "), /:12: two spaces and a tagged reply/],
    [
      "sections out of order",
      HEADER.replace("KEYS", "X").replace("ARGV", "KEYS").replace("  X", "  ARGV").replace("X", "ARGV"),
      /the order is KEYS, ARGV, REPLIES/,
    ],
  ])("with %s are refused at their line", (_, header, message) => {
    expect(() => read("return 1\n", header)).toThrow(message);
  });
});

describe("includes", () => {
  it("put a fragment without its header comment in the directive's place", () => {
    const script = read("local last = 1\n-- @include token\nreturn token\n");
    expect(script.fragments).toEqual(["token"]);
    expect(stripComments(script.expanded)).toBe("local last = 1\nlocal token = last + 1\nreturn token\n");
  });

  it.each([
    ["an unknown fragment", "-- @include nothing\n", /take\.lua:14: there is no shared fragment nothing/],
    ["an include inside a fragment", "-- @include nested\n", /shared\/nested\.lua:2: a fragment includes nothing/],
    ["a fragment that does not parse", "-- @include broken\n", /shared\/broken\.lua:3: /],
    ["an include behind code", "local x -- @include token\n", /take\.lua:14: an include stands on a line of its own/],
    ["a misspelt directive", "--@include token\n", /take\.lua:14: an include is written/],
    ["a fragment included twice", "-- @include token\n-- @include token\n", /take\.lua:15: token is included twice/],
  ])("refuse %s", (_, body, message) => {
    expect(() => read(body)).toThrow(message);
  });

  it("name the script's own line when the code after a fragment does not parse", () => {
    expect(() => read("-- @include token\n\nlocal = 1\n")).toThrow(/take\.lua:16: /);
  });
});

describe("embedding", () => {
  it("drops comments and blank lines and keeps strings as they are", () => {
    const body =
      'local a = "-- kept" -- dropped\n\nlocal b = [[\n-- kept too  \n\n]] --[[ x\ny ]] local c = a--[[z]]+ b\nreturn c\n';
    expect(stripComments(read(body).expanded)).toBe(
      'local a = "-- kept"\nlocal b = [[\n-- kept too  \n\n]] \n local c = a + b\nreturn c\n',
    );
  });

  it("evaluates to the very text, whatever it holds", async () => {
    const { header } = read("return 1\n");
    const source = 'local s = "a\\n`${x}`\\\\"\nreturn s\n';
    const text = renderModule([{ packageName: "p", header, source }])
      .replaceAll(" as const", "")
      .replaceAll(" as string", "");
    const made = (await import(`data:text/javascript,${encodeURIComponent(text)}`)) as {
      take: { source: string; name: string };
    };
    expect(made.take).toMatchObject({ source, name: "p.take" });
  });

  it("does not depend on the order in which the files were read", () => {
    const { header } = read("return 1\n");
    const other = { ...header, name: "add" };
    const of = (headers: (typeof header)[]) =>
      renderModule(headers.map((each) => ({ packageName: "p", header: each, source: "return 1\n" })));
    expect(of([header, other])).toBe(of([other, header]));
  });
});
