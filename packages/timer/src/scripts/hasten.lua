--[[
hasten: makes a pending timer due now. Its note says that its deadline is no longer that of its record.

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  notes    HASH    timer id → note (see lease)
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
  wake     CHANNEL hints for sleeping workers
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  publish     PUBLISH or SPUBLISH
  id          the timer
  operation   names the call
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"hastened", now, answers}  one word: due, firing, absent
]]
local due, notes, state, memoryA, memoryB, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local layout, notAfterUs, publish, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include memory
-- @include lease

local field = "h" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "hastened", nowText, { answered } }
end
local score = redis.call("ZSCORE", due, id)
local note = redis.call("HGET", notes, id)
local answer = "due"
local nowMs = math.floor(nowUs / 1000)
if not score then
  answer = "absent"
elseif isLease(score) then
  answer = "firing"
elseif tonumber(score) > nowMs * 1000 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, id, note or makeNote(0, false, false, ""))
  redis.call("ZADD", due, string.format("%.0f", nowMs * 1000), id)
end
memorize(field, answer)
remember()
if answer == "due" then
  redis.pcall(publish, wake, string.format("%.0f", nowMs))
end
return { "hastened", nowText, { answer } }
