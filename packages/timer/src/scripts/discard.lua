--[[
discard: removes from a sealed shard what another has taken over, which counts the leases among it.

KEYS
  index   ZSET  timer id → score: pending timers, or dead letters
  bodies  HASH  timer id → record, or epitaph
  notes   HASH  timer id → note
  later   HASH  timer id → the generation that follows
  state   HASH  what the shard remembers of itself
ARGV
  layout      of the sealed shard
  notAfterUs  bound in server time
  part        due (timers) or dead (dead letters)
  items...    ids
REPLIES
  {"layout", layout}
  {"too-late", now}
  {"discarded", now}
]]
local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, notAfterUs, part = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local itemsAt = 4
-- @include time
-- @include bound
-- @include shard
-- @include lease

local ids = {}
for at = itemsAt, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local scores = redis.call("ZMSCORE", index, unpack(ids))
redis.call("HLEN", bodies)
redis.call("HLEN", notes)
redis.call("HLEN", later)
redis.call("ZREM", index, unpack(ids))
redis.call("HDEL", bodies, unpack(ids))
redis.call("HDEL", notes, unpack(ids))
redis.call("HDEL", later, unpack(ids))
local leased = tonumber(shard[3])
for place = 1, part == "due" and #ids or 0 do
  if isLease(scores[place]) then
    leased = leased - 1
  end
end
-- Where the shard's state was lost, nobody has counted them.
redis.call("HSET", state, "leased", string.format("%.0f", math.max(leased, 0)))
return { "discarded", nowText }
