--[[
acquire: grants a free lease, or lets the caller wait for it in the order of arrival. Repeated by the owner it gives the same token and
counts the lease anew (L3). While others wait it grants to the first live one of them, so that a newcomer never overtakes (L6).

KEYS
  lease  STRING  the record
  queue  ZSET    waiters by arrival in microseconds; the channels of their hints are named after it
  seen   ZSET    waiters by the time until which they count as alive, sealed owners by the end of the seal
ARGV
  notAfterUs   bound in server time (K1)
  owner        random id of this acquire, its operation id
  newTerms     length of the lease and lock delay in ms, 8 digits each
  retentionMs  how long the record outlives token, lease and delay
  waits        "1" to wait when it is not free, "0" to be told so
  lapseMs      for how long this owner counts as alive after this request
  rules        most dead waiters removed in one step, 8 digits, and PUBLISH or SPUBLISH
REPLIES
  "granted token"      the owner holds it
  "waiting ms token"   it stands in the queue; the lease ends in so many ms; every later grant has a higher token
  "busy"               it is held and the caller does not wait
  "ended"              the owner has released it or given up: a request that arrives late (K1)
  "newer-format n"     the record is of a newer version
  {"too-late", now}    nothing was done
]]
local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, owner, newTerms, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local waits, lapseMs, rules = ARGV[5], tonumber(ARGV[6]), ARGV[7]

-- @include time
-- @include bound
-- @include token
-- @include record
if newerFormat then
  return "newer-format " .. newerFormat
end
if holder == owner then
  if since == none then
    return "ended"
  end
  write(token, nowText, newTerms, flag, owner)
  return "granted " .. token
end
if since == none and flag ~= "q" then
  local number = nextToken(token)
  write(number, nowText, newTerms, "-", owner)
  return "granted " .. number
end
if flag == "q" and redis.call("ZSCORE", seen, "!" .. owner) then
  return "ended"
end
-- Begun in the future: the clock went back, and the lease counts from now on (K8).
local clockWentBack = since > nowText
local from = clockWentBack and nowText or since
local openUs = tonumber(from) + (tonumber(string.sub(terms, 1, 8)) + tonumber(string.sub(terms, 9, 16))) * 1000
local free = since == none or nowUs >= openUs

-- @include hand-off
if waits == "1" then
  if not redis.call("ZSCORE", queue, owner) then
    -- Behind everybody who waits, also when the clock went back.
    local last = tonumber(redis.call("ZRANGE", queue, -1, -1, "WITHSCORES")[2] or 0)
    redis.call("ZADD", queue, string.format("%.0f", math.max(last + 1, nowUs)), owner)
  end
  redis.call("ZADD", seen, string.format("%.0f", nowUs + lapseMs * 1000), owner)
  redis.call("PEXPIRE", queue, retentionMs)
  redis.call("PEXPIRE", seen, retentionMs)
end
local head, untilUs
if free then
  head, untilUs = liveHead()
end
if free and (not head or head == owner) then
  local number = nextToken(token)
  leave(owner)
  write(number, nowText, newTerms, flagNow(), owner)
  return "granted " .. number
end
if free then
  leave(head)
  openUs = handTo(head, untilUs)
elseif clockWentBack or (waits == "1" and flag ~= "q") then
  write(token, from, terms, waits == "1" and "q" or flag, holder)
end
if waits == "1" then
  return "waiting " .. string.format("%.0f", math.ceil((openUs - nowUs) / 1000)) .. " " .. token
end
return "busy"
