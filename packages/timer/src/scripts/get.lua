--[[
get: looks at one timer.

KEYS
  due    ZSET  timer id → deadline or end of lease in microseconds
  data   HASH  timer id → record
  notes  HASH  timer id → note (see lease)
  later  HASH  timer id → the generation that follows the running one
  state  HASH  what the shard remembers of itself
ARGV
  layout  the form in which the client knows the shard
  id      the timer
REPLIES
  {"layout", layout}
  {"absent"}
  {"found", score, record, note, following}  the last two may be nil
]]
local due, data, notes, later, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, id = ARGV[1], ARGV[2]
-- @include shard

local score = redis.call("ZSCORE", due, id)
if not score then
  return { "absent" }
end
return { "found", score, redis.call("HGET", data, id) or "", redis.call("HGET", notes, id), redis.call("HGET", later, id) }
