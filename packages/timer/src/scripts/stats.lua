--[[
stats: counts the timers of a shard, in logarithmic time.

KEYS
  due    ZSET  timer id → deadline or end of lease in microseconds
  state  HASH  what the shard remembers of itself
  dead   ZSET  timer id → time of its burial in microseconds
ARGV
  layout  the form in which the client knows the shard
REPLIES
  {"layout", layout}
  {"stats", now, total, leased, due, dead, first}  first: the lowest score, or ""
]]
local due, state, dead = KEYS[1], KEYS[2], KEYS[3]
local layout = ARGV[1]
-- @include time
-- @include shard

local first = redis.call("ZRANGE", due, 0, 0, "WITHSCORES")[2] or ""
return {
  "stats",
  nowText,
  redis.call("ZCARD", due),
  shard[3],
  redis.call("ZCOUNT", due, "-inf", nowText),
  redis.call("ZCARD", dead),
  first,
}
