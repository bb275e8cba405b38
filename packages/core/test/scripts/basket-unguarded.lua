--[[
basket-unguarded: basket that finds out while it writes, to show what then stays.

KEYS
  first   STRING  a stock
  second  STRING  a stock
ARGV
  notAfterUs  bound in server time
REPLIES
  {"taken"}
]]
local first, second = KEYS[1], KEYS[2]
redis.call("DECR", first)
redis.call("DECR", second)
return { "taken" }
