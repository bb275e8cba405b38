--[[
shard: reads what the shard remembers of itself, and does nothing for a client that has not opened it in its present form (T11).

Needs
  state, layout  key and argument of the same names
Gives
  shard    1 layout, 2 floor (highest number given out, K5), 3 leased (count), 4 side and 5 sideUs (memory in use since),
           6 keepUs (how long it is kept at least), 7 moving (number of shards that timers move to), 8 leaseMaxUs (longest lease given),
           9 plain ("1" since a claim found neither notes nor generations that follow; whoever writes one deletes it in the same script),
           10 endsUs (no lease ends before; missing where leases may stand that nobody has counted)
  unpack   under both Lua versions
]]
local unpack = table.unpack or unpack
local shard = redis.call("HMGET", state, "layout", "floor", "leased", "side", "sideUs", "keepUs", "moving", "leaseMaxUs", "plain", "endsUs")
if shard[1] ~= layout then
  return { "layout", shard[1] or "" }
end
