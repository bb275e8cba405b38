--[[
settle: ends firings that claim cannot end in passing: retries, gives back, buries, and acknowledges what was extended, cancelled or
rescheduled meanwhile. Each item proves its lease by its end or, once extended, by its token (T3).

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
  items...    id, end of lease, token, operation, verb (done, retry, release, dead), attempts begun, delay in ms or error
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"settled", now, answers}  one word per item: ended, pending, dead; lost when the lease is another's
]]
local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local layout, notAfterUs, publish = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
-- @include time
-- @include bound
-- @include shard
-- @include memory
-- @include lease
-- @include record
-- @include ending
-- @include burial

local ids, fields = {}, {}
for at = itemsAt, #ARGV, 7 do
  ids[#ids + 1] = ARGV[at]
  fields[#fields + 1] = "e" .. ARGV[at + 3] .. " " .. ARGV[at]
end
local scores = redis.call("ZMSCORE", due, unpack(ids))
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
local answers = recall(fields)
redis.call("ZCARD", dead)
redis.call("HLEN", deadData)

local leased = tonumber(shard[3])
local rescored, renoted = {}, {}
for index, id in ipairs(ids) do
  local at = itemsAt + (index - 1) * 7
  local leaseEnd, token, verb, attempts, detail = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local score, note = scores[index], noted[index]
  if answers[index] then
    -- A repeat.
  elseif not isLease(score) or (score ~= leaseEnd and tokenOf(note) ~= token) then
    answers[index] = "lost"
  else
    leased = leased - 1
    if verb == "done" or isCancelled(note) then
      answers[index] = "ended"
      conclude(id, records[index], followings[index])
    elseif verb == "dead" then
      answers[index] = "dead"
      bury(id, records[index], attempts, detail)
      conclude(id, records[index], followings[index])
    else
      answers[index] = "pending"
      local delayMs = verb == "retry" and tonumber(detail) or 0
      local atMs = verb == "retry" and math.ceil(nowUs / 1000) + delayMs or math.floor(nowUs / 1000)
      rescored[#rescored + 1] = string.format("%.0f", atMs * 1000)
      rescored[#rescored + 1] = id
      renoted[#renoted + 1] = id
      renoted[#renoted + 1] = makeNote(tonumber(attempts), isSuspect(note) and verb == "release", false, "")
    end
    memorize(fields[index], answers[index])
  end
end
if #memorized == 0 then
  return { "settled", nowText, answers }
end
redis.call("HDEL", state, "plain")
writeEnds()
writeBurials()
if #rescored > 0 then
  redis.call("ZADD", due, unpack(rescored))
  redis.call("HSET", notes, unpack(renoted))
end
redis.call("HSET", state, "leased", string.format("%.0f", leased))
remember()
local againUs = math.huge
for _, scores in ipairs({ rescored, installedScores }) do
  for at = 1, #scores, 2 do
    againUs = math.min(againUs, tonumber(scores[at]))
  end
end
if againUs < math.huge then
  redis.pcall(publish, wake, string.format("%.0f", againUs / 1000))
end
return { "settled", nowText, answers }
