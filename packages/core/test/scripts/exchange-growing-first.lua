--[[
exchange-growing-first: exchange in the other order, to show that it is refused without memory.

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
redis.call("SET", new, value)
redis.call("DEL", old)
return { "exchanged" }
