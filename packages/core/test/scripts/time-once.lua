--[[
time-once: reads the time by the shared fragment, works for a while, and answers the same time (K2).

KEYS
  any  STRING  unused
ARGV
  rounds  bound of the loop
REPLIES
  {"times", before, after}
]]
local rounds = tonumber(ARGV[1])
-- @include time
local before = nowText
local sum = 0
for i = 1, rounds do
  sum = sum + i
end
return { "times", before, nowText }
