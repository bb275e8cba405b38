--[[
remind: takes over what another shard remembered, in which nothing happens any more. What is known here already stays as it is: it was
taken over before, and what is younger was brought first.

KEYS
  state    HASH  what the shard remembers of itself
  memoryA  HASH  what has just ended
  memoryB  HASH  the same, in turn
ARGV
  layout      of the sealed shard
  notAfterUs  bound in server time
  items...    field and value
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"reminded", now}
]]
local state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
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
  if not known[index] then
    memorize(field, ARGV[itemsAt + index * 2 - 1])
  end
end
remember()
return { "reminded", nowText }
