--[[
list-dead: reads dead letters in the order of their burial.

KEYS
  state     HASH  what the shard remembers of itself
  dead      ZSET  timer id → time of its burial in microseconds
  deadData  HASH  timer id → attempts, a space, bytes of the error, a space, the error, record
ARGV
  layout  the form in which the client knows the shard
  limit   most letters to read
REPLIES
  {"layout", layout}
  {"dead", letters}  id, time, text in turn
]]
local state, dead, deadData = KEYS[1], KEYS[2], KEYS[3]
local layout, limit = ARGV[1], tonumber(ARGV[2])
-- @include shard

local found = redis.call("ZRANGE", dead, 0, limit - 1, "WITHSCORES")
local letters = {}
for at = 1, #found, 2 do
  local epitaph = redis.call("HGET", deadData, found[at]) or ""
  -- What another program has put there is shown as it is.
  local attempts, size, rest = string.match(epitaph, "^(%d+) (%d+) (.*)$")
  local errorEnd = tonumber(size or 0)
  rest = rest or epitaph
  letters[#letters + 1] = {
    found[at],
    found[at + 1],
    attempts or "0",
    string.sub(rest, 1, errorEnd),
    string.sub(rest, errorEnd + 1),
  }
end
return { "dead", letters }
