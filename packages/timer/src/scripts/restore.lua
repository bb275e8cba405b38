--[[
restore: sets the timers that the caller's own records say were pending at a time, where they are missing; never one that has fired, was
cancelled or was given up since. It refuses to guess about a time of which too much is forgotten.

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  data     HASH    timer id → record
  notes    HASH    timer id → note (see lease)
  later    HASH    timer id → the generation that follows the running one
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
  dead     ZSET    timer id → time of its burial in microseconds
  wake     CHANNEL hints for sleeping workers
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  publish     PUBLISH or SPUBLISH
  asOfUs      the time at which the items were pending
  items...    id, operation, when (as for schedule), payload; no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"window", now, earliest}   asOfUs lies outside of what can be answered
  {"restored", now, answers}  one letter per item: s set, p pending or firing, e ended since, d a dead letter
]]
local due, data, notes, later, state, memoryA, memoryB, dead, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local layout, notAfterUs, publish, asOfUs = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local itemsAt = 5
-- @include time
-- @include bound
-- @include shard
if shard[7] then
  return { "layout", "" }
end
-- @include token
-- @include memory
-- @include lease
-- @include record
-- @include arrange

local known = redis.call("HMGET", state, "openedUs", "restUs")
local earliestUs = math.max(tonumber(known[1]), tonumber(known[2] or 0), nowUs - keepUs * 2)
if asOfUs < earliestUs or asOfUs > nowUs then
  return { "window", nowText, string.format("%.0f", earliestUs) }
end

local ids, fields = {}, {}
for at = itemsAt, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "x" .. ARGV[at]
  fields[#fields + 1] = "i" .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local graves = redis.call("ZMSCORE", dead, unpack(ids))
local ended = recall(fields)
redis.call("HLEN", data)
local answers = {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 4
  local cancelledUs, endedUs = tonumber(ended[index * 2 - 1] or 0), tonumber(ended[index * 2] or 0)
  if scores[index] then
    answers[index] = "p"
  elseif graves[index] then
    answers[index] = "d"
  elseif cancelledUs > asOfUs or endedUs > asOfUs then
    answers[index] = "e"
  else
    answers[index] = "s"
    set("s", id, ARGV[at + 1], dueMsOf(ARGV[at + 2]), ARGV[at + 3])
  end
end
write()
if earliestMs < math.huge then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "restored", nowText, answers }
