--[[
due-now: what is due, and when to look again, by one look unless there is a burst.

Needs
  nowUs, nowText, unpack
  due
Gives
  findDue(limit, few)  what is due, leases that ended among it, as ids and scores in turn; and the earliest deadline that is not, as text,
                       "" when there is none, or now when more is due than the limit. It first looks at so few timers and one more, or
                       at once for all when few is 0
]]
local function findDue(limit, few)
  if few > 0 then
    local found, count = redis.call("ZRANGE", due, 0, few, "WITHSCORES"), 0
    while found[count + 2] and tonumber(found[count + 2]) <= nowUs do
      count = count + 2
    end
    if count > limit * 2 then
      return { unpack(found, 1, limit * 2) }, nowText
    elseif count <= few * 2 then
      return { unpack(found, 1, count) }, found[count + 2] or ""
    end
  end
  local found = redis.call("ZRANGE", due, "-inf", nowText, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
  if #found == limit * 2 then
    return found, nowText
  end
  return found, redis.call("ZRANGE", due, "(" .. nowText, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2] or ""
end
