--[[
rewind: finds the leases that a clock which went back has left standing for too long (K8), a bounded number at a time.

That the clock went back shows in the highest number given out, which claims, schedules and extensions raise to their time: no lease that
stands from before ends later than that and the longest lease. From the first sight on (backUs) every live holder has one lease of time to
extend by the new clock. A clock that goes back again meanwhile makes that a first sight.

Needs
  nowUs, nowText, shard, isLease, unpack, state, due, leaseUs
Gives
  strandedLeases(limit)  ids
  noteRewind()           writes to state how far it came, after all guards (K3)
]]
local backFields

local function strandedLeases(limit)
  local kept = redis.call("HMGET", state, "backUs", "backTopUs", "backAtUs", "leaseMaxUs")
  local lengthUs = math.max(leaseUs, tonumber(kept[4] or 0))
  local backUs = tonumber(kept[1] or math.huge)
  if nowUs < backUs then
    if kept[1] or tonumber(shard[2]) > nowUs + 1000000 then
      local topUs = math.max(tonumber(shard[2]) + lengthUs, tonumber(kept[2] or 0))
      backFields = { "backUs", nowText, "backTopUs", string.format("%.0f", topUs), "backAtUs", "0" }
    end
    return {}
  elseif nowUs < backUs + lengthUs then
    return {}
  end
  local from = math.max(nowUs + lengthUs, tonumber(kept[3]))
  local found = redis.call("ZRANGE", due, string.format("(%.0f", from), kept[2], "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
  local ids = {}
  for at = 1, #found, 2 do
    if isLease(found[at + 1]) then
      ids[#ids + 1] = found[at]
    end
  end
  if #found < limit * 2 then
    backFields = {}
  else
    -- Leases of one claim share their end: they are looked at again rather than left out.
    local last = tonumber(found[#found])
    backFields = { "backAtUs", string.format("%.0f", isLease(found[#found]) and last - 1 or last) }
  end
  return ids
end

local function noteRewind()
  if not backFields then
    return
  end
  if #backFields == 0 then
    redis.call("HDEL", state, "backUs", "backTopUs", "backAtUs")
  else
    redis.call("HSET", state, unpack(backFields))
  end
end
