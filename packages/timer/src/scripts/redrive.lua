--[[
redrive: makes a dead letter a timer again, due now, with a new generation and all its attempts.

KEYS
  due       ZSET    timer id → deadline or end of lease in microseconds
  data      HASH    timer id → record
  notes     HASH    timer id → note (see lease)
  later     HASH    timer id → the generation that follows the running one
  state     HASH    what the shard remembers of itself
  memoryA   HASH    what has just ended
  memoryB   HASH    the same, in turn
  dead      ZSET    timer id → time of its burial in microseconds
  deadData  HASH    timer id → attempts, a space, bytes of the error, a space, the error, record
  wake      CHANNEL hints for sleeping workers
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  publish     PUBLISH or SPUBLISH
  id          the timer
  operation   names the call
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"redriven", now, answers}  one word: redriven, absent (no dead letter), or exists (a timer with this id is pending or firing)
]]
local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local layout, notAfterUs, publish, id, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include token
-- @include memory
-- @include lease
-- @include record
-- @include arrange

local field = "r" .. operation .. " " .. id
local answered = recall({ field })[1]
if answered then
  return { "redriven", nowText, { answered } }
end
local mark = recallMarks({ id })[1]
local epitaph = redis.call("HGET", deadData, id)
local score = redis.call("ZSCORE", due, id)
redis.call("ZSCORE", dead, id)
redis.call("HLEN", data)
local answer = "redriven"
if not epitaph then
  answer = "absent"
elseif score then
  answer = "exists"
end
memorize(field, answer)
if answer == "redriven" then
  local _, size, rest = string.match(epitaph, "^(%d+) (%d+) (.*)$")
  local record = string.sub(rest or epitaph, tonumber(size or 0) + 1)
  local space = string.find(record, " ", 1, true) or 0
  local payload = string.sub(record, (string.find(record, " ", space + 1, true) or 0) + 1)
  redis.call("ZREM", dead, id)
  redis.call("HDEL", deadData, id)
  keepMark(id, mark)
  -- No schedule has set it: no operation of one has this name.
  set("s", id, math.floor(nowUs / 1000), "\127 " .. payload)
end
write()
if answer == "redriven" then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "redriven", nowText, { answer } }
