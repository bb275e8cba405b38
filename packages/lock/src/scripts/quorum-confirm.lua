--[[
quorum-confirm: writes the token of a majority back to this node, while its lock is the value's. Strict: a node that has seen a higher one
refuses, or two holders could get one token (L8).

KEYS
  lock   STRING  redlock's own key: the value of its holder
  fence  STRING  the highest token of this node
ARGV
  notAfterUs   bound in server time (K1)
  value        redlock's random value
  token        16 digits
  retentionMs  how long the fence outlives its token
REPLIES
  {"confirmed", now}  this node remembers the token; its time tells whether its clock has passed it
  {"higher", token}   it has seen this one
  {"lost"}            the value does not hold its lock
  {"newer-format", n} the fence is of a newer version
  {"too-late", now}   nothing was done
]]
local lock, fence = KEYS[1], KEYS[2]
local notAfterUs, value, token, retentionMs = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

-- @include time
-- @include bound
-- @include quorum-fence
if newerFormat then
  return { "newer-format", newerFormat }
end
if redis.call("GET", lock) ~= value then
  return { "lost" }
end
if fenced and fenced > token then
  return { "higher", fenced }
end
remember(token)
return { "confirmed", nowText }
