--[[
peek: reads a key.

KEYS
  value  STRING  what is read
ARGV
REPLIES
  {"value", text}
]]
local value = KEYS[1]
return { "value", redis.call("GET", value) }
