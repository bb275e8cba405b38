--[[
list: a page of unfinished keys, the oldest attempt first. Changes nothing.

KEYS
  index  ZSET  unfinished keys by the start of their attempt in milliseconds
ARGV
  fromMs       the last start that was seen, or 0
  olderThanMs  only attempts that started at least this long ago
  countMax     most keys in the page
REPLIES
  {"page", {member, startedMs, ...}}
]]
local index = KEYS[1]
local fromMs, olderThanMs, countMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- @include time
local untilMs = math.floor(nowUs / 1000) - olderThanMs
return { "page", redis.call("ZRANGEBYSCORE", index, fromMs, untilMs, "WITHSCORES", "LIMIT", 0, countMax) }
