--[[
recollect: reads a part of what a sealed shard remembers, to be carried to another.

KEYS
  state    HASH  what the shard remembers of itself
  memoryA  HASH  what has just ended
  memoryB  HASH  the same, in turn
ARGV
  layout  of the sealed shard
  half    young for the one in use, old for the other
  cursor  where to go on; "0" to begin
  count   about how many
REPLIES
  {"layout", layout}
  {"recollected", cursor, keepUs, records}  keepUs: how long it is kept at least; field and value in turn; cursor "0" at the end
]]
local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, half, cursor, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- @include shard

local isInB = (shard[4] == "B") == (half == "young")
local scanned = redis.call("HSCAN", isInB and memoryB or memoryA, cursor, "COUNT", count)
return { "recollected", scanned[1], shard[6], scanned[2] }
