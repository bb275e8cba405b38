--[[
drop: throws a dead letter away.

KEYS
  state     HASH  what the shard remembers of itself
  memoryA   HASH  what has just ended
  memoryB   HASH  the same, in turn
  dead      ZSET  timer id → time of its burial in microseconds
  deadData  HASH  timer id → attempts, a space, bytes of the error, a space, the error, record
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  id          the timer
  operation   names the call
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"dropped", now, answers}  one word: dropped or absent
]]
local state, memoryA, memoryB, dead, deadData = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include memory

local field = "d" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "dropped", nowText, { answered } }
end
redis.call("HLEN", deadData)
local answer = redis.call("ZSCORE", dead, id) and "dropped" or "absent"
if answer == "dropped" then
  redis.call("ZREM", dead, id)
  redis.call("HDEL", deadData, id)
end
memorize(field, answer)
remember()
return { "dropped", nowText, { answer } }
