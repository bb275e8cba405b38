--[[
fair-shares: divides the limit so that nobody who wants more has less than another (max-min fairness). With fewer permits than processes
that want one, they take turns: each second the next one in the order of their ids comes first.

Needs
  nowText  from time
  limit    number, permits in all
  live     list of entries with id and wanted
Gives
  entry.share  for each of live
]]
table.sort(live, function(a, b)
  return a.id < b.id
end)
local wanting = 0
for _, entry in ipairs(live) do
  entry.turn = wanting
  wanting = wanting + (entry.wanted > 0 and 1 or 0)
end
local second = tonumber(string.sub(nowText, 1, 10))
for _, entry in ipairs(live) do
  entry.turn = (entry.turn + second) % math.max(1, wanting)
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
