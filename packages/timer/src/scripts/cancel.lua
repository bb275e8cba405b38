--[[
cancel: takes timers back. A timer that is leased may be running: it is marked, and neither a retry nor the end of its lease delivers it
again. Otherwise a tombstone keeps out schedules that were sent before and arrive later (T5).

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  data     HASH    timer id → record
  notes    HASH    timer id → note (see lease)
  later    HASH    timer id → the generation that follows the running one
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
ARGV
  layout      the form in which the client knows the shard
  notAfterUs  bound in server time
  items...    id, operation; no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"cancelled", now, answers}  one word per item: cancelled, firing, absent
]]
local due, data, notes, later, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include memory
-- @include lease
-- @include record
-- @include ending

local ids, fields = {}, {}
for at = itemsAt, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "c" .. ARGV[at + 1] .. " " .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
local marks = recallMarks(ids)
local answers = recall(fields)

local marked, forgotten = {}, {}
for index, id in ipairs(ids) do
  if not answers[index] then
    if not scores[index] then
      answers[index] = "absent"
      memorize("i" .. id, marks[index] or nowText)
    elseif isLease(scores[index]) then
      answers[index] = "firing"
      marked[#marked + 1] = id
      marked[#marked + 1] = makeNote(attemptsOf(noted[index]), isSuspect(noted[index]), true, tokenOf(noted[index]))
    else
      answers[index] = "cancelled"
      conclude(id, records[index], false)
    end
    if followings[index] then
      -- Whoever set it may ask again: he must hear what he was told, and not set it anew.
      local _, nextRecord = dueMsAndRecord(followings[index])
      keepAnswer(id, nextRecord)
      forgotten[#forgotten + 1] = id
    end
    memorize("x" .. id, nowText)
    memorize(fields[index], answers[index])
  end
end
if #forgotten > 0 then
  redis.call("HDEL", later, unpack(forgotten))
end
writeEnds()
if #marked > 0 then
  redis.call("HDEL", state, "plain")
  redis.call("HSET", notes, unpack(marked))
end
remember()
return { "cancelled", nowText, answers }
