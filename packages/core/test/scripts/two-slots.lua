--[[
two-slots: touches a second key, or one that it does not declare, to show what a Cluster says (K6).

KEYS
  first   STRING  is read
ARGV
  undeclared  a key that stands in no KEYS
REPLIES
  {"value", text}
]]
local first = KEYS[1]
local undeclared = ARGV[1]
redis.call("GET", first)
return { "value", redis.call("GET", undeclared) }
