--[[
exchange: gives one value back and stores another; the freeing write comes first, so that it works without memory (K3).

KEYS
  old  STRING  is deleted
  new  STRING  is written
ARGV
  notAfterUs  bound in server time
  value       what to store
REPLIES
  {"exchanged"}
  {"too-late", nowText}  nothing was done
]]
local old, new = KEYS[1], KEYS[2]
local notAfterUs, value = tonumber(ARGV[1]), ARGV[2]
-- @include time
-- @include bound
redis.call("DEL", old)
redis.call("SET", new, value)
return { "exchanged" }
