--[[
acknowledgements: ends firings in passing, if nothing but their score is on the server. The others are left to settle.

Needs
  nowText, unpack, memorize, shard
  due, data, notes, later
Gives
  crashedOrRetried         there may be notes, and generations that follow
  checkAcknowledgements(list, at)  finds out which may end of those that list holds from a place on, as in claim
  refused                  ids of the others
  writeAcknowledgements()  ends them, all by freeing writes; returns their number
]]
local crashedOrRetried = not shard[9] and redis.call("EXISTS", notes, later) > 0
local batches, removed, refused = {}, {}, {}

-- What is worth the second look: from here on a whole batch costs less than its timers one by one.
local batchMin = 8

-- True if exactly these timers have this end of lease.
local function isBatch(list, leaseEnd, first, last)
  local count = last - first + 1
  if crashedOrRetried or count < batchMin or redis.call("ZCOUNT", due, leaseEnd, leaseEnd) ~= count then
    return false
  end
  local holders = redis.call("ZRANGE", due, leaseEnd, leaseEnd, "BYSCORE")
  -- Timers of one deadline came in the order in which the server has them, which is the order in which they end.
  local place = 1
  while holders[place] and holders[place] == list[first + place - 1] do
    place = place + 1
  end
  local held = {}
  for index = place, count do
    held[holders[index]] = true
  end
  for at = first + place - 1, last do
    if not held[list[at]] then
      return false
    end
    held[list[at]] = nil
  end
  return true
end

local function rememberEnd(id, head)
  memorize("i" .. id, head == "" and nowText or nowText .. " " .. head)
end

local function checkEach(list, leaseEnd, first, last)
  local scores = redis.call("ZMSCORE", due, unpack(list, first, last))
  local noted = crashedOrRetried and redis.call("HMGET", notes, unpack(list, first, last)) or {}
  local followings = crashedOrRetried and redis.call("HMGET", later, unpack(list, first, last)) or {}
  for at = first, last do
    local index = at - first + 1
    if scores[index] ~= leaseEnd or noted[index] or followings[index] then
      refused[#refused + 1] = list[at]
    else
      removed[#removed + 1] = list[at]
      rememberEnd(list[at], list[last + index])
    end
  end
end

local function checkAcknowledgements(list, at)
  while list[at] do
    local leaseEnd, count = list[at], tonumber(list[at + 1])
    local first, last = at + 2, at + 1 + count
    if isBatch(list, leaseEnd, first, last) then
      batches[#batches + 1] = { leaseEnd, unpack(list, first, last) }
      for ackAt = first, last do
        rememberEnd(list[ackAt], list[ackAt + count])
      end
    else
      checkEach(list, leaseEnd, first, last)
    end
    at = last + count + 1
  end
end

-- The records go first: that nobody else has put something in their place is not asked before (K3).
local function writeAcknowledgements()
  local ended = #removed
  for _, batch in ipairs(batches) do
    redis.call("HDEL", data, unpack(batch, 2))
    redis.call("ZREMRANGEBYSCORE", due, batch[1], batch[1])
    ended = ended + #batch - 1
  end
  if #removed > 0 then
    redis.call("HDEL", data, unpack(removed))
    redis.call("ZREM", due, unpack(removed))
  end
  return ended
end
