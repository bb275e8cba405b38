--[[
quorum-extend: counts the lease of the value anew on this node.

KEYS
  lock  STRING  redlock's own key: the value of its holder
ARGV
  notAfterUs  bound in server time (K1)
  value       redlock's random value
  ttlMs       length of the lease
REPLIES
  {"extended"}       the value holds it
  {"lost"}           it does not
  {"too-late", now}  nothing was done
]]
local lock = KEYS[1]
local notAfterUs, value, ttlMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]

-- @include time
-- @include bound
if redis.call("GET", lock) ~= value then
  return { "lost" }
end
redis.call("PEXPIRE", lock, ttlMs)
return { "extended" }
