--[[
force-release: ends whatever lease there is and burns a token, which is higher than every one granted (K5). The first live waiter is told to
look. A repeat of the same operation gets the same token, and ends nobody's lease, whoever has been granted one since (K1).

KEYS
  lease   STRING  the record
  queue   ZSET    waiters by arrival; the channels of their hints are named after it
  seen    ZSET    waiters by the time until which they count as alive, sealed owners by the end of the seal
  forced  STRING  the token that this operation has burned
ARGV
  notAfterUs   bound in server time (K1)
  operationId  names this release; a repeat gets the same token
  retentionMs  how long the record outlives the token, and how long a repeat is known
  rules        most dead waiters removed in one step, 8 digits, and PUBLISH or SPUBLISH
REPLIES
  {"burned", token}    nobody holds it
  {"newer-format", n}  the record is of a newer version
  {"too-late", now}    nothing was done
]]
local lease, queue, seen, forced = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs, operationId, retentionMs, rules = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- @include time
-- @include bound
-- @include token
-- @include record
if newerFormat then
  return { "newer-format", newerFormat }
end
-- Like a sealed owner: an acquire under the same id is another operation.
local releaser = "!" .. operationId
local burnedBefore = redis.call("GET", forced) or (holder == releaser and since == none and token)
if burnedBefore then
  return { "burned", burnedBefore }
end
-- @include hand-off
local head = liveHead()
local burned = nextToken(token)
write(burned, none, terms, flag, releaser)
-- When memory is out, the record alone knows the operation, until the next grant.
redis.pcall("SET", forced, burned, "PX", retentionMs)
if head then
  redis.pcall(publishCommand, channelOf(head), "*")
end
return { "burned", burned }
