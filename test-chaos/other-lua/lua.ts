/**
 * Scripts in a Lua 5.4, whose commands a real server executes one by one (K6). Redis and Valkey embed Lua 5.1; others that speak their
 * protocol embed 5.4, where a number is an integer or a float and shows it as text.
 *
 * Lua and JavaScript exchange texts of hexadecimal digits, since a text of Lua may hold any bytes.
 */
import { LuaFactory } from "wasmoon";

/** Executes one command, each word in hexadecimal digits; a Lua chunk that returns the reply, or nil and the error. */
export type Host = (words: string) => Promise<string>;

/** Runs scripts, one at a time. */
export interface OtherLua {
  /** @returns the reply as the protocol has it, in hexadecimal digits */
  run(source: string, keys: readonly Buffer[], args: readonly Buffer[]): Promise<string>;
}

/** What a script of a Redis server may use, with the server's rules for its arguments, replies and globals. */
const program = String.raw`
local host, nextJob, answer = holdfastHost, holdfastNextJob, holdfastAnswer

local function hex(text)
  return (string.gsub(text, ".", function(character)
    return string.format("%02x", string.byte(character))
  end))
end

local function unhex(text)
  return (string.gsub(text, "..", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function argument(value)
  if math.type(value) == "integer" then
    return string.format("%d", value)
  elseif type(value) == "number" then
    return string.format("%.17g", value)
  elseif type(value) == "string" then
    return value
  end
  error({ err = "ERR Lua redis lib command arguments must be strings or integers" }, 0)
end

local function command(...)
  local words = {}
  for index = 1, select("#", ...) do
    words[index] = hex(argument((select(index, ...))))
  end
  return load(host(table.concat(words, " ")):await())()
end

local redis = {}

function redis.call(...)
  local reply, problem = command(...)
  if problem then
    error({ err = problem }, 0)
  end
  return reply
end

function redis.pcall(...)
  local reply, problem = command(...)
  if problem then
    return { err = problem }
  end
  return reply
end

function redis.error_reply(text)
  return { err = text }
end

local function literal(value)
  if type(value) == "table" then
    local items = {}
    for index = 1, #value do
      items[index] = literal(value[index])
    end
    return "{" .. table.concat(items, ",") .. "}"
  elseif type(value) == "string" then
    return '"' .. string.gsub(hex(value), "..", "\\x%0") .. '"'
  end
  return tostring(value)
end

-- The form is the server's own affair, as long as it reads what it wrote.
local cmsgpack = { pack = literal }

function cmsgpack.unpack(text)
  return load("return " .. text)()
end

local function protocol(value)
  if value == nil or value == false then
    return "$-1\r\n"
  elseif value == true then
    return ":1\r\n"
  elseif type(value) == "number" then
    return string.format(":%d\r\n", value // 1 | 0)
  elseif type(value) == "string" then
    return "$" .. #value .. "\r\n" .. value .. "\r\n"
  elseif value.err then
    return "-" .. value.err .. "\r\n"
  elseif value.ok then
    return "+" .. value.ok .. "\r\n"
  end
  local items = {}
  for index, item in ipairs(value) do
    items[index] = protocol(item)
  end
  return "*" .. #items .. "\r\n" .. table.concat(items)
end

local function strangers(_, name)
  error({ err = "ERR Script attempted to access nonexistent global variable '" .. name .. "'" }, 0)
end

local allowed = {
  redis = redis, cmsgpack = cmsgpack, string = string, table = table, math = math, tonumber = tonumber, tostring = tostring,
  type = type, pairs = pairs, ipairs = ipairs, next = next, select = select, error = error, assert = assert, pcall = pcall,
}

local function run(source, keys, args)
  local function texts(list)
    local found = {}
    for digits in string.gmatch(list, "(%x*) ") do
      found[#found + 1] = unhex(digits)
    end
    return found
  end
  local known = { KEYS = texts(keys), ARGV = texts(args) }
  local env = setmetatable({}, {
    __index = function(_, name)
      local value = known[name]
      if value == nil then
        value = allowed[name]
      end
      if value == nil then
        strangers(nil, name)
      end
      return value
    end,
    __newindex = strangers,
  })
  local script, problem = load(unhex(source), "=script", "t", env)
  if not script then
    return hex("-ERR Error compiling script: " .. problem .. "\r\n")
  end
  local ok, value = pcall(script)
  if not ok then
    value = type(value) == "table" and value or { err = "ERR " .. tostring(value) }
  end
  return hex(protocol(value))
end

while true do
  local source, keys, args = string.match(nextJob():await(), "(%x*),([%x ]*),([%x ]*)")
  answer(run(source, keys, args))
end
`;

interface Job {
  readonly text: string;
  readonly answer: (reply: string) => void;
}

/** Starts a Lua 5.4. One coroutine of it runs for ever and takes one script after the other. */
export async function startOtherLua(host: Host): Promise<OtherLua> {
  const lua = await new LuaFactory().createEngine();
  const jobs: Job[] = [];
  let current: Job | undefined;
  let wake: () => void = () => undefined;
  lua.global.set("holdfastHost", host);
  lua.global.set("holdfastNextJob", async () => {
    if (jobs.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    current = jobs.shift();
    return current?.text;
  });
  lua.global.set("holdfastAnswer", (reply: string) => current?.answer(reply));
  // It never ends, and what breaks it ends this process.
  void lua.doString(program);
  return {
    run: (source, keys, args) => {
      const list = (texts: readonly Buffer[]): string => texts.map((text) => `${text.toString("hex")} `).join("");
      const text = [Buffer.from(source, "latin1").toString("hex"), list(keys), list(args)].join(",");
      const { promise, resolve } = Promise.withResolvers<string>();
      jobs.push({ text, answer: resolve });
      wake();
      return promise;
    },
  };
}
