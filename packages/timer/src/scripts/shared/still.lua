--[[
still: does nothing while the shard's timers are about to move to another number of shards (T11). The client opens the shard again, and
learns that.

Needs
  shard
]]
if shard[7] then
  return { "layout", "" }
end
