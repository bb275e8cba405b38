--[[
quorum-release: frees this node's lock if it is the value's. With a seal the value is remembered as gone, so that a request of its acquire
that arrives later takes nothing (L3).

KEYS
  lock  STRING  redlock's own key: the value of its holder
  gone  STRING  stands while a request of a value that has given up may arrive
ARGV
  notAfterUs  bound in server time (K1)
  value       redlock's random value
  sealMs      how long a request may still be under way; 0 when none can be
REPLIES
  {"released"}       the value held it
  {"lost"}           it did not
  {"too-late", now}  nothing was done
]]
local lock, gone = KEYS[1], KEYS[2]
local notAfterUs, value, sealMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

-- @include time
-- @include bound
local held = redis.call("GET", lock) == value
if held then
  redis.call("DEL", lock)
end
if sealMs > 0 then
  redis.call("SET", gone, value, "PX", sealMs)
end
return { held and "released" or "lost" }
