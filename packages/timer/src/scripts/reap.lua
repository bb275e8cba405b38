--[[
reap: sees to leases that ended without an answer: their timers are due again, or buried when the last attempt had begun, or gone when
cancelled. A lapse spends an attempt only when it is on record that the handler had begun; from then on the timer is suspect, and its
worker records the beginning before it runs the handler.

When the server's clock went back, a lease would stand for as long as the clock has lost. One whole lease after that was first seen,
every live holder has extended its lease by the new clock; what still ends later than a lease from now is dead, and lapses (K8).

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
ARGV
  layout       the form in which the client knows the shard
  notAfterUs   bound in server time
  limit        most timers to look at
  attemptsMax  attempts after which a timer is buried
  leaseUs      length of a lease
  error        what to write on the grave
  passedUs     where an earlier look has come to, else 0: what is due before it is passed over
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"reaped", now, lapsed, buried, passedUs}  number of leases that lapsed, ids of those that were buried, and where this look has come to
                                             when as many timers as the limit were due, else 0
]]
local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local memoryA, memoryB, dead, deadData = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local layout, notAfterUs, limit, attemptsMax = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local leaseUs, error, passedUs = tonumber(ARGV[5]), ARGV[6], ARGV[7]
-- @include time
-- @include bound
-- @include shard
-- @include memory
-- @include lease
-- @include record
-- @include ending
-- @include burial
-- @include rewind

local ids, graves = {}, {}
local found = redis.call("ZRANGE", due, "(" .. passedUs, nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
for at = 1, #found, 2 do
  if isLease(found[at + 1]) then
    ids[#ids + 1] = found[at]
  end
end
passedUs = "0"
if #found >= limit * 2 then
  -- Leases of one claim share their end: they are looked at again rather than left out.
  local last = tonumber(found[#found])
  passedUs = string.format("%.0f", isLease(found[#found]) and last - 1 or last)
end
local stranded = strandedLeases(limit)
for index = 1, #stranded do
  ids[#ids + 1] = stranded[index]
end
if #ids == 0 then
  noteRewind()
  return { "reaped", nowText, 0, graves, passedUs }
end
local noted = redis.call("HMGET", notes, unpack(ids))
local records = redis.call("HMGET", data, unpack(ids))
local followings = redis.call("HMGET", later, unpack(ids))
redis.call("ZCARD", dead)
redis.call("HLEN", deadData)
recall({ "i" })

local nowDue = string.format("%.0f", math.floor(nowUs / 1000) * 1000)
local rescored, renoted = {}, {}
for index, id in ipairs(ids) do
  local note, record = noted[index], records[index]
  local attempts = attemptsOf(note)
  if isCancelled(note) or not record then
    conclude(id, record, followings[index])
  elseif attempts >= attemptsMax then
    graves[#graves + 1] = id
    bury(id, record, tostring(attempts), error)
    conclude(id, record, followings[index])
  else
    rescored[#rescored + 1] = nowDue
    rescored[#rescored + 1] = id
    renoted[#renoted + 1] = id
    renoted[#renoted + 1] = makeNote(attempts, true, false, "")
  end
end
redis.call("HDEL", state, "plain")
noteRewind()
writeEnds()
writeBurials()
if #rescored > 0 then
  redis.call("ZADD", due, unpack(rescored))
  redis.call("HSET", notes, unpack(renoted))
end
redis.call("HSET", state, "leased", string.format("%.0f", tonumber(shard[3]) - #ids))
remember()
return { "reaped", nowText, #ids, graves, passedUs }
