--[[
force-release: ends whatever lease there is and burns a token, which is higher than every one granted (K5). The first live waiter is told to
look; it is granted nothing here, since the record remembers the operation for a repeat.

KEYS
  lease  STRING  the record
  queue  ZSET    waiters by arrival; the channels of their hints are named after it
  seen   ZSET    waiters by the time until which they count as alive, sealed owners by the end of the seal
ARGV
  notAfterUs   bound in server time (K1)
  operationId  names this release; a repeat gets the same token
  retentionMs  how long the record outlives the token
  rules        most dead waiters removed in one step, 8 digits, and PUBLISH or SPUBLISH
REPLIES
  {"burned", token}    nobody holds it
  {"newer-format", n}  the record is of a newer version
  {"too-late", now}    nothing was done
]]
local lease, queue, seen = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, operationId, retentionMs, rules = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- @include time
-- @include bound
-- @include token
-- @include record
if newerFormat then
  return { "newer-format", newerFormat }
end
if holder == operationId and since == none then
  return { "burned", token }
end
-- @include hand-off
local head = liveHead()
local burned = nextToken(token)
write(burned, none, terms, flag, operationId)
if head then
  redis.pcall(publishCommand, channelOf(head), "*")
end
return { "burned", burned }
