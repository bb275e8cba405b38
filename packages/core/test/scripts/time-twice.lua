--[[
time-twice: reads the time twice around the same work, to show that the readings differ.

KEYS
  any  STRING  unused
ARGV
  rounds  bound of the loop
REPLIES
  {"times", before, after}
]]
local rounds = tonumber(ARGV[1])
local before = redis.call("TIME")
local sum = 0
for i = 1, rounds do
  sum = sum + i
end
local after = redis.call("TIME")
local function text(time)
  return time[1] .. string.sub("00000" .. time[2], -6)
end
return { "times", text(before), text(after) }
