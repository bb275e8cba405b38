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
  items...    id, operation, when ("k", "r" or "e" for keep, replace, earliest; "+" and a delay or "@" and a time; in ms), payload;
              no id twice
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"scheduled", now, answers}  one text per item: kind (s scheduled, r replaced, f firing, k kept), generation, deadline as in a record;
                               "x" and the time of a cancellation that came after the request; "p" when pendingMax is reached; "d" when
                               the deadline is too far
]]
local due, data, notes, later, state, memoryA, memoryB, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local layout, sentUs, knownUs, notAfterUs, publish = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local pendingMax, delayMaxMs = tonumber(ARGV[6]), tonumber(ARGV[7])
local itemsAt = 8
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

local ids, fields = {}, {}
for at = itemsAt, #ARGV, 4 do
  local id = ARGV[at]
  ids[#ids + 1] = id
  fields[#fields + 1] = "x" .. id
  fields[#fields + 1] = "o" .. ARGV[at + 1] .. " " .. id
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local remembered = recall(fields)
local head = redis.call("ZRANGE", due, 0, 0, "WITHSCORES")
local room = pendingMax > 0 and pendingMax - redis.call("ZCARD", due) or math.huge
redis.call("HLEN", data)

-- A time that is yet to come says that the clock went back; then no request can prove that it came after a cancellation.
local askedUs = math.max(sentUs, knownUs)
if askedUs > nowUs + 1000 then
  askedUs = 0
end
local answers = {}
for index = 1, #ids do
  local at = itemsAt + (index - 1) * 4
  local cancelled, answered = remembered[index * 2 - 1], remembered[index * 2]
  local operation, when, payload = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if answered then
    answers[index] = answered
  elseif cancelled and tonumber(cancelled) > askedUs then
    answers[index] = "x" .. cancelled
    if tonumber(cancelled) > nowUs then
      -- The clock went back: from here on the tombstone counts by the new clock (K8).
      memorized[#memorized + 1] = "x" .. ids[index]
      memorized[#memorized + 1] = nowText
    end
  elseif dueMsOf(when) - nowMs > delayMaxMs then
    answers[index] = "d"
  elseif scores[index] then
    answers[index] = rearrange(ids[index], scores[index], operation, when, payload)
  elseif room <= 0 then
    answers[index] = "p"
  else
    room = room - 1
    answers[index] = set("s", ids[index], operation, dueMsOf(when), payload)
  end
end
write()
if earliestMs < math.huge and (not head[2] or earliestMs * 1000 < tonumber(head[2])) then
  redis.pcall(publish, wake, string.format("%.0f", earliestMs))
end
return { "scheduled", nowText, answers }
