--[[
pack: reads a part of a sealed shard, to be carried to another.

KEYS
  index   ZSET  timer id → score: pending timers, or dead letters
  bodies  HASH  timer id → record, or epitaph
  notes   HASH  timer id → note
  later   HASH  timer id → the generation that follows
  state   HASH  what the shard remembers of itself
ARGV
  layout  of the sealed shard
  cursor  where to go on; "0" to begin
  count   about how many
REPLIES
  {"layout", layout}
  {"packed", cursor, timers, bodies, notes, followings}  timers: id, score in turn; cursor "0" at the end
]]
local index, bodies, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, cursor, count = ARGV[1], ARGV[2], ARGV[3]
-- @include shard

local scanned = redis.call("ZSCAN", index, cursor, "COUNT", count)
local timers = scanned[2]
local found, noted, followings = {}, {}, {}
for at = 1, #timers, 2 do
  found[#found + 1] = redis.call("HGET", bodies, timers[at]) or ""
  noted[#noted + 1] = redis.call("HGET", notes, timers[at]) or ""
  followings[#followings + 1] = redis.call("HGET", later, timers[at]) or ""
end
return { "packed", scanned[1], timers, found, noted, followings }
