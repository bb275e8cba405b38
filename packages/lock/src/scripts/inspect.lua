--[[
inspect: tells who holds the lease. Changes nothing.

KEYS
  lease  STRING  the record
  queue  ZSET    waiters by arrival
  seen   ZSET    waiters by the time until which they count as alive
REPLIES
  {"free"}                                      nobody holds it
  {"held", token, owner, remainingMs, waiters}  somebody does; waiters that are alive
  {"newer-format", n}                           the record is of a newer version
]]
local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]

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
local waiters = 0
if redis.call("EXISTS", queue) == 1 then
  -- Nobody counts as alive for longer than a minute.
  waiters = redis.call("ZCOUNT", seen, nowText, string.format("%.0f", nowUs + 60000000))
end
return { "held", token, holder, math.ceil(leftUs / 1000), waiters }
