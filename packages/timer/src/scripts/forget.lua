--[[
forget: removes from what a sealed shard remembers what another has taken over, so that an id is remembered in its own shard alone.

KEYS
  state    HASH  what the shard remembers of itself
  memoryA  HASH  what has just ended
  memoryB  HASH  the same, in turn
ARGV
  layout      of the sealed shard
  notAfterUs  bound in server time
  items...    fields
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"forgotten", now}
]]
local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
-- @include time
-- @include bound
-- @include shard

local fields = {}
for at = itemsAt, #ARGV do
  fields[#fields + 1] = ARGV[at]
end
redis.call("HLEN", memoryB)
redis.call("HDEL", memoryA, unpack(fields))
redis.call("HDEL", memoryB, unpack(fields))
return { "forgotten", nowText }
