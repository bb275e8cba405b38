--[[
schedule: sets timers, each at most once per operation (T9), and none that was cancelled after its request was made (T5).

A record is: kind of the answer (s, r or f; the letter stands for format 1), generation (10 digits to the base of 36), deadline in ms
minus the generation's ms, a space, operation, a space, payload. An answer is the record up to the first space.

KEYS
  due      ZSET    timer id → deadline or end of lease in microseconds
  data     HASH    timer id → record
  notes    HASH    timer id → note (see lease)
  later    HASH    timer id → deadline in ms, a space, record of the generation that follows the running one
  state    HASH    what the shard remembers of itself
  memoryA  HASH    what has just ended
  memoryB  HASH    the same, in turn
  wake     CHANNEL hints for sleeping workers
ARGV
  layout      the form in which the client knows the shard
  sentUs      server time at which the request was made, or earlier, as estimated
  knownUs     a server time of this shard that the client's process had seen before the request was made, or 0
  notAfterUs  bound in server time
  publish     PUBLISH or SPUBLISH
  pendingMax  most timers in this shard, 0 for no limit
  delayMaxMs  the furthest deadline from now
  items...    runs of items with the same when ("k", "r" or "e" for keep, replace, earliest; "+" and a delay or "@" and a time; in ms):
              when, number of items, then for each its id, and operation, a space, payload; no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"scheduled", now, answers}  a text and to how many items in a row it belongs, in turn: kind (s scheduled, r replaced, f firing,
                               k kept), generation, deadline as in a record; "x" and the time of a cancellation that came after the
                               request; "p" when pendingMax is reached; "d" when the deadline is too far; "u" when what is
                               there is to be kept and is no record
]]
local due, data, notes, later, state, memoryA, memoryB, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local layout, sentUs, knownUs, notAfterUs, publish = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local pendingMax, delayMaxMs = tonumber(ARGV[6]), tonumber(ARGV[7])
local itemsAt = 8
-- @include time
-- @include bound
-- @include shard
-- @include still
-- @include token
-- @include memory
-- @include lease
-- @include record
-- @include arrange

local ids, bodies, runs = {}, {}, {}
local at, count = itemsAt, 0
while ARGV[at] do
  local size = tonumber(ARGV[at + 1])
  runs[#runs + 1] = { ARGV[at], count + 1, count + size }
  for itemAt = at + 2, at + size * 2, 2 do
    count = count + 1
    ids[count], bodies[count] = ARGV[itemAt], ARGV[itemAt + 1]
  end
  at = at + 2 + size * 2
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local marks = recallMarks(ids)
-- What may have been asked before, or cancelled since: few, as a rule.
local fields, fieldsAt = {}, {}
for index = 1, count do
  if scores[index] or marks[index] then
    local id = ids[index]
    fieldsAt[index] = #fields + 1
    fields[#fields + 1] = "x" .. id
    fields[#fields + 1] = "s" .. operationIn(bodies[index]) .. " " .. id
  end
end
local remembered = recall(fields)
local head = redis.call("ZRANGE", due, 0, 0, "WITHSCORES")
local room = pendingMax > 0 and pendingMax - redis.call("ZCARD", due) or math.huge

-- A time that is yet to come says that the clock went back; then no request can prove that it came after a cancellation.
local askedUs = math.max(sentUs, knownUs)
if askedUs > nowUs + 1000 then
  askedUs = 0
end
local answers = {}
local function say(answer, times)
  local last = #answers
  if answers[last - 1] == answer then
    answers[last] = answers[last] + times
  else
    answers[last + 1], answers[last + 2] = answer, times
  end
end

-- What becomes of one timer; returns its answer.
local function decide(index, when)
  local id, body, mark = ids[index], bodies[index], marks[index]
  local fieldAt = fieldsAt[index]
  local cancelled = fieldAt and remembered[fieldAt]
  local answered = fieldAt and (remembered[fieldAt + 1] or answerInMark(mark, operationIn(body)))
  if answered then
    return answered
  elseif cancelled and tonumber(cancelled) > askedUs then
    if tonumber(cancelled) > nowUs then
      -- The clock went back: from here on the tombstone counts by the new clock (K8).
      memorize("x" .. id, nowText)
      memorize("i" .. id, mark or nowText)
    end
    return "x" .. cancelled
  elseif dueMsOf(when) - nowMs > delayMaxMs then
    return "d"
  elseif scores[index] then
    return rearrange(id, scores[index], when, body)
  elseif room <= 0 then
    return "p"
  end
  room = room - 1
  keepMark(id, mark)
  return set("s", id, dueMsOf(when), body)
end

-- How many of a run, from a place on, are neither there nor remembered, and have room.
local function newFrom(first, last, when)
  local most = dueMsOf(when) - nowMs > delayMaxMs and 0 or math.min(last - first + 1, room)
  local size = #fields == 0 and most or 0
  while size < most and not fieldsAt[first + size] do
    size = size + 1
  end
  return size
end

for _, run in ipairs(runs) do
  local when, index, last = run[1], run[2], run[3]
  while index <= last do
    local size = newFrom(index, last, when)
    if size > 0 then
      room = room - size
      say(setAll("s", ids, bodies, index, index + size - 1, dueMsOf(when)), size)
    else
      size = 1
      say(decide(index, when), 1)
    end
    index = index + size
  end
end
write()
if earliestMs < math.huge and (not head[2] or earliestMs * 1000 < tonumber(head[2])) then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "scheduled", nowText, answers }
