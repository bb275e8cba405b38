--[[
rewind: finds the leases that a clock which went back has left standing for too long (K8), a bounded number at a time.

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
  if not kept[1] then
    if tonumber(shard[2]) > nowUs + 1000000 then
      local top = string.format("%.0f", tonumber(shard[2]) + lengthUs)
      backFields = { "backUs", nowText, "backTopUs", top, "backAtUs", "0" }
    end
    return {}
  elseif nowUs < tonumber(kept[1]) + lengthUs then
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
