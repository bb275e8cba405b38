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
local lengthUs = tonumber(string.sub(terms, 1, 8)) * 1000
-- Begun in the future: the clock went back (K8).
local leftUs = math.min(tonumber(since) + lengthUs - nowUs, lengthUs)
if leftUs <= 0 then
  return { "free" }
end
local lapseUs = lapseMs * 1000
local waiters = 0
if redis.call("EXISTS", queue) == 1 then
  local earliest, latest = string.format("%.0f", nowUs - lapseUs), string.format("%.0f", nowUs + lapseUs)
  waiters = redis.call("ZCOUNT", seen, earliest, latest)
end
return { "held", token, holder, math.ceil(leftUs / 1000), waiters }
