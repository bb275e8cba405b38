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
  items...    id, when (as for schedule), and operation, a space, payload; no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"window", now, earliest}   asOfUs lies outside of what can be answered
  {"restored", now, answers}  one letter per item: s set, p pending or firing, e ended since, d given up since
]]
local due, data, notes, later, state, memoryA, memoryB, dead, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local layout, notAfterUs, publish, asOfUs = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local itemsAt = 5
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include token
-- @include memory
-- @include lease
-- @include record
-- @include arrange

-- What ended before the timers were moved to this number of shards was not carried over (T11). A shard that was founded since asOfUs is no
-- reason to refuse: it was lost, nobody knows what had ended in it, and to bring back what is owed is what this is for (T2).
local known = redis.call("HMGET", state, "movedUs", "restUs")
local earliestUs = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0), nowUs - keepUs * 2)
if asOfUs < earliestUs or asOfUs > nowUs then
  return { "window", nowText, string.format("%.0f", earliestUs) }
end

local ids, fields = {}, {}
for at = itemsAt, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "x" .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local graves = redis.call("ZMSCORE", dead, unpack(ids))
local cancelled = recall(fields)
local marks = recallMarks(ids)
local answers = {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 3
  local cancelledUs, endedUs = tonumber(cancelled[index] or 0), tonumber(string.sub(marks[index] or "0", 1, 16))
  if scores[index] then
    answers[index] = "p"
  elseif tonumber(graves[index] or 0) > asOfUs then
    answers[index] = "d"
  elseif cancelledUs > asOfUs or endedUs > asOfUs then
    answers[index] = "e"
  else
    answers[index] = "s"
    keepMark(id, marks[index])
    set("s", id, dueMsOf(ARGV[at + 1]), ARGV[at + 2])
  end
end
write()
if earliestMs < math.huge then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "restored", nowText, answers }
