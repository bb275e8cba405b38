--[[
listing: puts a key into the index of unfinished keys.

An index outlives its entries, and gives up those whose records have expired. Of all that claim here the longest time counts, for which an
entry without a name stands, below all others: `stuck` reads from 0. That is looked after seldom, since a time is added for which nothing
is to be done.

Needs
  nowUs, nowText  from time
  memberOf        from record
  onUnknown       recover or hold: under hold an index, like its records, stays
  indexMs         how long an unfinished key is listed
Gives
  listUnfinished(record, index, otherIndex)  nothing, or the error that kept it from being listed
]]
local function keepIndex(index)
  local longestMs = -(tonumber(redis.call("ZSCORE", index, "")) or 0)
  if longestMs < indexMs + 0 then
    longestMs = indexMs + 0
    redis.call("ZADD", index, string.format("%.0f", -longestMs), "")
  end
  redis.call("ZREMRANGEBYSCORE", index, 0, string.format("%.0f", nowUs - longestMs * 1000))
  redis.call("PEXPIRE", index, string.format("%.0f", longestMs + math.floor(longestMs / 8)))
end

local function listUnfinished(record, index, otherIndex)
  local listed = redis.pcall("ZADD", index, nowText, memberOf(record))
  if type(listed) == "table" then
    return listed
  end
  if onUnknown == "hold" then
    -- Only tidies up: what is wrong there may not fail a claim whose first write is done (K3).
    redis.pcall("ZREM", otherIndex, memberOf(record))
  elseif redis.call("PTTL", index) < indexMs + 0 then
    keepIndex(index)
  end
  return nil
end
