--[[
move: takes one shard through a change of the number of shards (T11): first nothing new is leased or changed, then, when no lease is left,
nothing is accepted at all while timers are carried over, then the new layout begins. Each step may be repeated.

A shard beyond the number so far holds nothing, unless a failover has taken back that it was given up; then its leases end uncounted. What its
layout says is left from an earlier move, which may have been between any numbers, so it is taken as it was found; it is found before shard 0 is
sealed and changes before shard 0 does, so a caller that others have overtaken meanwhile does not take a shard that is in use by then for one.
Nor does he begin a move anew that they have taken back: only drain begins one, and only what was sealed is finished.

KEYS
  due    ZSET  timer id → deadline or end of lease in microseconds
  state  HASH  what the shard remembers of itself
ARGV
  notAfterUs  bound in server time
  step        drain, seal or finish
  from        number of shards so far
  to          number of shards wanted
  floor       for finish: the highest floor of all shards, since an id may come from any of them (K5)
  unused      for a shard beyond the number so far: the layout that drain has found, "" for drain; else "-"
REPLIES
  {"too-late", now}
  {"draining", layout, leased}  layout to reap with, or to seal an unused shard with; that is all that drain does to it
  {"sealed", layout, floor}     layout to carry over with
  {"finished", layout, floor}   a shard that another caller has finished has the floor that is due to all
  {"other", layout}             neither on the way from one number to the other nor at either
]]
local due, state = KEYS[1], KEYS[2]
local notAfterUs, step, from, to, floor, unused = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
-- @include time
-- @include bound

local kept = redis.call("HMGET", state, "layout", "leased", "moving", "floor")
local layout, moving = kept[1], kept[3]
local sealed = "1:" .. from .. ">" .. to .. ":"
local before, after = "1:" .. from .. ":", "1:" .. to .. ":"
if layout and string.sub(layout, 1, #after) == after and not moving then
  return { "finished", layout, kept[4] }
elseif layout and string.sub(layout, 1, #sealed) == sealed then
  if step ~= "finish" then
    return { "sealed", layout, kept[4] }
  end
  redis.call("HDEL", state, "moving")
  redis.call("HSET", state, "layout", after .. nowText, "movedUs", nowText, "floor", floor)
  return { "finished", after .. nowText, floor }
elseif layout and unused == "-" and moving and moving ~= to then
  return { "other", layout }
elseif layout and unused ~= "-" then
  if step == "drain" and string.find(layout, "^1:[%d>]+:") then
    return { "draining", layout, kept[2] }
  elseif step ~= "seal" or layout ~= unused then
    return { "other", layout }
  end
  layout = sealed .. nowText
  redis.call("HSET", state, "layout", layout, "moving", to, "leased", "0")
  redis.call("HDEL", state, "endsUs")
  return { "sealed", layout, kept[4] }
elseif layout and (string.sub(layout, 1, #before) ~= before or step == "finish" or (step == "seal" and moving ~= to)) then
  return { "other", layout }
elseif not layout then
  layout = sealed .. nowText
  local isEmpty = redis.call("EXISTS", due) == 0
  redis.call("HSET", state, "layout", layout, "movedUs", nowText, "floor", nowText, "leased", "0", "side", "A", "sideUs", "0")
  redis.call("HSET", state, "keepUs", "60000000", "moving", to)
  if isEmpty then
    redis.call("HSET", state, "endsUs", "0")
  end
  return { "sealed", layout, nowText }
elseif step == "seal" and moving == to and tonumber(kept[2]) <= 0 then
  layout = sealed .. nowText
  redis.call("HSET", state, "layout", layout)
  return { "sealed", layout, kept[4] }
end
redis.call("HSET", state, "moving", to)
return { "draining", layout, kept[2] }
