--[[
quorum-propose: takes this node's lock, stored as the redlock package stores it, and proposes a token that is higher than every one this
node has seen and not behind its clock (L8). Repeated under the same value it proposes the same.

KEYS
  lock   STRING  redlock's own key: the value of its holder
  fence  STRING  the highest token of this node
  gone   STRING  stands while a request of a value that has given up may arrive
ARGV
  notAfterUs   bound in server time (K1)
  value        redlock's random value
  ttlMs        length of the lease
  retentionMs  how long the fence outlives its token
REPLIES
  {"granted", token}  the lock is taken on this node
  {"held"}            another value holds it, or this one has given up
  {"newer-format", n} the fence is of a newer version
  {"too-late", now}   nothing was done
]]
local lock, fence, gone = KEYS[1], KEYS[2], KEYS[3]
local notAfterUs, value, ttlMs, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

-- @include time
-- @include bound
-- @include token
-- @include quorum-fence
if newerFormat then
  return { "newer-format", newerFormat }
end
local holder = redis.call("GET", lock)
if (holder and holder ~= value) or redis.call("EXISTS", gone) == 1 then
  return { "held" }
end
if holder and fenced then
  return { "granted", fenced }
end
local proposal = nextToken(fenced)
remember(proposal)
redis.call("SET", lock, value, "PX", ttlMs)
return { "granted", proposal }
