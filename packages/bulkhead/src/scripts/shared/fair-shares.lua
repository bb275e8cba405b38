--[[
fair-shares: divides the limit so that nobody who wants more has less than another (max-min fairness). With fewer permits than processes
that want one, they go around: the order is a hash that changes each second.

Needs
  nowText  from time
  limit    number, permits in all
  live     list of entries with id and wanted
Gives
  entry.share  for each of live
]]
local wanting = 0
for _, entry in ipairs(live) do
  entry.turn = redis.sha1hex(entry.id .. string.sub(nowText, 1, 10))
  wanting = wanting + (entry.wanted > 0 and 1 or 0)
end
table.sort(live, function(a, b)
  local scarce = wanting > limit and a.wanted > 0 and b.wanted > 0
  if a.wanted ~= b.wanted and not scarce then
    return a.wanted < b.wanted
  end
  return a.turn < b.turn
end)
local left = limit
for i, entry in ipairs(live) do
  entry.share = math.min(entry.wanted, math.floor(left / (#live - i + 1)))
  left = left - entry.share
end
