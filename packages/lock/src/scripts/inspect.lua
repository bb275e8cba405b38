--[[
inspect: tells who holds the lease. Changes nothing.

KEYS
  lease  STRING  the record
  queue  ZSET    waiters by arrival
  seen   ZSET    waiters by their last request
ARGV
  lapseMs  for how long a waiter counts as alive after a request
REPLIES
  {"free"}                                      nobody holds it
  {"held", token, owner, remainingMs, waiters}  somebody does; waiters that are alive
  {"newer-format", n}                           the record is of a newer version
]]
local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local lapseMs = tonumber(ARGV[1])

-- @include time
local retentionMs = 0
-- @include record
if newerFormat then
  return { "newer-format", newerFormat }
end
if endUs <= nowUs then
  return { "free" }
end
local lapseUs = lapseMs * 1000
local waiters = 0
if redis.call("EXISTS", queue) == 1 then
  local earliest, latest = string.format("%.0f", nowUs - lapseUs), string.format("%.0f", nowUs + lapseUs)
  waiters = redis.call("ZCOUNT", seen, earliest, latest)
end
-- More than its own length means that the clock went back (K8).
local remainingMs = math.min(math.ceil((endUs - nowUs) / 1000), lengthMs)
return { "held", token, holder, remainingMs, waiters }
