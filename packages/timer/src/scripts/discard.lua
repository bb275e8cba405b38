--[[
discard: removes from a sealed shard what another has taken over.

KEYS
  index   ZSET  timer id → score: pending timers, or dead letters
  bodies  HASH  timer id → record, or epitaph
  notes   HASH  timer id → note
  later   HASH  timer id → the generation that follows
  state   HASH  what the shard remembers of itself
ARGV
  layout      of the sealed shard
  notAfterUs  bound in server time
  items...    ids
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"discarded", now}
]]
local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs = ARGV[1], tonumber(ARGV[2])
local itemsAt = 3
-- @include time
-- @include bound
-- @include shard

local ids = {}
for at = itemsAt, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
redis.call("ZREM", index, unpack(ids))
redis.call("HDEL", bodies, unpack(ids))
redis.call("HDEL", notes, unpack(ids))
redis.call("HDEL", later, unpack(ids))
return { "discarded", nowText }
