--[[
list: a page of unfinished keys, the oldest attempt first. Changes nothing.

KEYS
  index  ZSET  unfinished keys by the start of their attempt in microseconds
ARGV
  fromUs       the last start that was seen, or 0
  olderThanMs  only attempts that started at least this long ago
  countMax     most keys in the page
REPLIES
  {"page", {member, startedUs, ...}}
]]
local index = KEYS[1]
local fromUs, olderThanMs, countMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- @include time
local untilUs = string.format("%.0f", nowUs - olderThanMs * 1000)
return { "page", redis.call("ZRANGEBYSCORE", index, fromUs, untilUs, "WITHSCORES", "LIMIT", 0, countMax) }
