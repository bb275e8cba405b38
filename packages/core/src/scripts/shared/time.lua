--[[
time: reads the server's clock, once per script (K2).

Gives
  nowUs    number  microseconds since 1970
  nowText  text    the same, 16 digits: comparable as text, exact where Lua's own conversion keeps 14 digits
]]
local time = redis.call("TIME")
local nowUs = time[1] * 1000000 + time[2]
local nowText = time[1] .. string.sub("00000" .. time[2], -6)
