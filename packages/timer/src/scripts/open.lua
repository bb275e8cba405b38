--[[
open: learns the form in which a shard is kept, or founds it; makes known how long this client's requests can be on their way, and how
long it wants what has ended to be remembered.

A request is refused unless it carries the layout that was learned here, so the longest bound on record covers every request that can
still arrive. The layout holds the time of founding: what was sent before the shard was lost or moved is refused afterwards.

Whoever raises the time for which the shard remembers keeps what it remembers by now for as long (T5, K1). What was forgotten under the
shorter time is not known any more, and reconcile is not to guess about it (T2).

KEYS
  due      ZSET  timer id → deadline or end of lease in microseconds
  state    HASH  what the shard remembers of itself
  memoryA  HASH  what has just ended
  memoryB  HASH  the same, in turn
ARGV
  notAfterUs  bound in server time
  shards      how many shards this client divides the timer into
  boundUs     the longest time that a request of this client can be on its way
  keepUs      how long this client wants what has ended to be remembered
  found       "1" to found the shard when nothing is there
REPLIES
  {"too-late", now}
  {"opened", now, layout}
  {"absent"}               nothing is there and found is not "1"
  {"other", layout}        kept in another form: number of shards, format, or timers on the move
  {"moving", now, layout, to}  timers are about to move to another number of shards: running firings may end, no more
]]
local due, state, memoryA, memoryB = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local notAfterUs = tonumber(ARGV[1])
local shards, boundUs, keepUs, found = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
-- @include time
-- @include bound

local kept = redis.call("HMGET", state, "layout", "boundUs", "keepUs", "moving", "movedUs")
local layout = kept[1]
if not layout then
  if found ~= "1" then
    return { "absent" }
  end
  layout = "1:" .. shards .. ":" .. nowText
elseif string.sub(layout, 1, #shards + 3) ~= "1:" .. shards .. ":" then
  return { "other", layout }
end
boundUs = math.max(boundUs, tonumber(kept[2] or 0))
keepUs = math.max(keepUs, boundUs, tonumber(kept[3] or 0))
if not kept[1] then
  local isEmpty = redis.call("EXISTS", due) == 0
  redis.call("HSET", state, "layout", layout, "floor", nowText, "leased", "0", "side", "A", "sideUs", "0")
  if isEmpty then
    redis.call("HSET", state, "endsUs", "0")
  end
end
if boundUs ~= tonumber(kept[2]) or keepUs ~= tonumber(kept[3]) then
  redis.call("HSET", state, "boundUs", string.format("%.0f", boundUs), "keepUs", string.format("%.0f", keepUs))
end
local keptUs = tonumber(kept[3] or keepUs)
if keepUs > keptUs then
  redis.call("PEXPIRE", memoryA, string.format("%.0f", keepUs * 3 / 1000))
  redis.call("PEXPIRE", memoryB, string.format("%.0f", keepUs * 3 / 1000))
  redis.call("HSET", state, "movedUs", string.format("%.0f", math.max(tonumber(kept[5] or 0), nowUs - keptUs * 2)))
  if redis.call("EXISTS", memoryA, memoryB) == 0 then
    -- The next to be remembered begins a turn, which sets the time when it expires.
    redis.call("HSET", state, "sideUs", "0")
  end
end
if kept[4] then
  return { "moving", nowText, layout, kept[4] }
end
return { "opened", nowText, layout }
