--[[
basket: takes one of each of two things; all guards come before the first write (K3).

KEYS
  first   STRING  a stock
  second  STRING  a stock
ARGV
  notAfterUs  bound in server time
REPLIES
  {"taken"}
  {"too-late", nowText}  nothing was done
]]
local first, second = KEYS[1], KEYS[2]
local notAfterUs = tonumber(ARGV[1])
-- @include time
-- @include bound
redis.call("GET", first)
redis.call("GET", second)
redis.call("DECR", first)
redis.call("DECR", second)
return { "taken" }
