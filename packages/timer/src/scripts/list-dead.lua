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
  local epitaph = redis.call("HGET", deadData, found[at]) or "0 0 "
  local first = string.find(epitaph, " ", 1, true)
  local second = string.find(epitaph, " ", first + 1, true)
  local errorEnd = second + tonumber(string.sub(epitaph, first + 1, second - 1))
  letters[#letters + 1] = {
    found[at],
    found[at + 1],
    string.sub(epitaph, 1, first - 1),
    string.sub(epitaph, second + 1, errorEnd),
    string.sub(epitaph, errorEnd + 1),
  }
end
return { "dead", letters }
