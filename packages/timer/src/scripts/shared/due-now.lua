--[[
due-now: what is due, and when to look again, by one look unless there is a burst. In a burst, the scores cost more than the rest of the
look: they are left out where nobody needs them.

Needs
  nowUs, nowText, unpack
  due
Gives
  findDue(limit, few, isScored)  ids of what is due, leases that ended among it; their scores, or nil when they were not asked for and not
                       read anyway; and the earliest deadline that is not due, as text, "" when there is none, or now when more is due
                       than the limit. It first looks at so few timers and one more, or at once for all when few is 0
]]
local function halves(found, count)
  local ids, scores = {}, {}
  for index = 1, count do
    ids[index], scores[index] = found[index * 2 - 1], found[index * 2]
  end
  return ids, scores
end

local function findDue(limit, few, isScored)
  local found, count, ids, scores = nil, 0, nil, nil
  if few > 0 then
    found = redis.call("ZRANGE", due, 0, few, "WITHSCORES")
    while found[count * 2 + 2] and tonumber(found[count * 2 + 2]) <= nowUs do
      count = count + 1
    end
    ids, scores = halves(found, math.min(count, limit))
    if count > limit then
      return ids, scores, nowText
    elseif count <= few then
      return ids, scores, found[count * 2 + 2] or ""
    end
  end
  if isScored then
    found = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
    ids, scores = halves(found, #found / 2)
  else
    ids, scores = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit), nil
  end
  if #ids == limit then
    return ids, scores, nowText
  end
  return ids, scores, redis.call("ZRANGE", due, "(" .. nowText, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2] or ""
end
