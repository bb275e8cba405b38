--[[
quorum-inspect: tells who holds this node's lock. Changes nothing.

KEYS
  lock   STRING  redlock's own key: the value of its holder
  fence  STRING  the highest token of this node
REPLIES
  {"free"}                       nobody holds it
  {"held", value, ms, token}     somebody does, for so many ms; 0 when this node has seen no token
]]
local lock, fence = KEYS[1], KEYS[2]

local value = redis.call("GET", lock)
if not value then
  return { "free" }
end
return { "held", value, redis.call("PTTL", lock), string.sub(redis.call("GET", fence) or "10", 2) }
