--[[
remind: takes over what another shard remembered, in which nothing happens any more, and remembers for no less time than that one did. What
is known here already stays as it is: it was taken over before, and what is younger was brought first. Only of the times at which a timer has
ended or was cancelled the later counts: a shard of which a failover took back that it was given up knows those of before.

KEYS
  state    HASH  what the shard remembers of itself
  memoryA  HASH  what has just ended
  memoryB  HASH  the same, in turn
ARGV
  layout      of the sealed shard
  notAfterUs  bound in server time
  leastUs     how long what has ended is to be remembered at least
  items...    field and value
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"reminded", now}
]]
local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs, leastUs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local itemsAt = 4
-- @include time
-- @include bound
-- @include shard
-- @include memory

local fields = {}
for at = itemsAt, #ARGV, 2 do
  fields[#fields + 1] = ARGV[at]
end
local known = recall(fields)
for index, field in ipairs(fields) do
  local value, isTime = ARGV[itemsAt + index * 2 - 1], string.find(field, "^[ix]")
  if not known[index] or (isTime and value > known[index]) then
    memorize(field, value)
  end
end
remember()
if leastUs > keepUs then
  local lifeMs = string.format("%.0f", leastUs * 3 / 1000)
  redis.call("HSET", state, "keepUs", string.format("%.0f", leastUs))
  redis.call("PEXPIRE", memoryA, lifeMs)
  redis.call("PEXPIRE", memoryB, lifeMs)
end
return { "reminded", nowText }
