--[[
move: takes one shard through a change of the number of shards (T11): first nothing new is leased or changed, then, when no lease is left,
nothing is accepted at all while timers are carried over, then the new layout begins. Each step may be repeated.

A caller looks at every shard before its first step, and each step is taken only where the shard still is as its caller knows it. So one that
others have overtaken, who have taken the move back or begun it anew meanwhile, stops no shard, and finishes none that is not carried over.

A shard beyond the number so far holds nothing, unless a failover has taken back that it was given up; then its leases are not waited for. What
its layout says is left from an earlier move, which may have been between any numbers, so it is taken as it was found.

KEYS
  due    ZSET  timer id → deadline or end of lease in microseconds
  state  HASH  what the shard remembers of itself
ARGV
  notAfterUs  bound in server time
  step        look (which changes nothing), drain, seal or finish
  from        number of shards so far
  to          number of shards wanted
  floor       the highest floor that the caller has met, in the end that of all shards, since an id may come from any of them (K5)
  unused      "1" for a shard beyond the number so far, which is not drained
  known       the layout in which the caller knows the shard, "" where there was none
REPLIES
  {"too-late", now}
  {"draining", layout, leased}  layout to reap with; also that of a shard that is not drained yet, "" where there is none
  {"sealed", layout, floor}     layout to carry over with
  {"finished", layout, floor}   a shard that another caller has finished has the floor that is due to all; one of which a failover took back
                                that it was given up is given it
  {"other", layout}             neither on the way from one number to the other nor at either, or not as the caller knows it
]]
local due, state = KEYS[1], KEYS[2]
local notAfterUs, step, from, to = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local floor, unused, known = ARGV[5], ARGV[6], ARGV[7]
-- @include time
-- @include bound

local kept = redis.call("HMGET", state, "layout", "leased", "moving", "floor")
local layout, moving = kept[1], kept[3]
local sealed = "1:" .. from .. ">" .. to .. ":"
local before, after = "1:" .. from .. ":", "1:" .. to .. ":"
if layout and string.sub(layout, 1, #after) == after and not moving then
  if step ~= "look" and floor > kept[4] then
    redis.call("HSET", state, "floor", floor)
  end
  return { "finished", layout, kept[4] }
elseif layout and string.sub(layout, 1, #sealed) == sealed then
  if step ~= "finish" then
    return { "sealed", layout, kept[4] }
  elseif layout ~= known then
    return { "other", layout }
  end
  redis.call("HDEL", state, "moving")
  redis.call("HSET", state, "layout", after .. nowText, "movedUs", nowText, "floor", floor)
  return { "finished", after .. nowText, floor }
elseif not layout and step == "look" then
  return { "draining", "", "0" }
elseif not layout then
  layout = sealed .. nowText
  local isEmpty = redis.call("EXISTS", due) == 0
  redis.call("HSET", state, "layout", layout, "movedUs", nowText, "floor", nowText, "leased", "0", "side", "A", "sideUs", "0")
  redis.call("HSET", state, "keepUs", "60000000", "moving", to)
  if isEmpty then
    redis.call("HSET", state, "endsUs", "0")
  end
  return { "sealed", layout, nowText }
elseif step == "finish" or (step ~= "look" and layout ~= known) or not string.find(layout, "^1:[%d>]+:") then
  return { "other", layout }
elseif unused ~= "1" and (string.sub(layout, 1, #before) ~= before or (moving or to) ~= to or (step == "seal" and not moving)) then
  return { "other", layout }
elseif step == "seal" and (unused == "1" or tonumber(kept[2]) <= 0) then
  layout = sealed .. nowText
  redis.call("HSET", state, "layout", layout, "moving", to)
  return { "sealed", layout, kept[4] }
elseif step == "drain" then
  redis.call("HSET", state, "moving", to)
end
return { "draining", layout, kept[2] }
