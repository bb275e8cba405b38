--[[
lease: what is left of a lease. One that is longer than its length comes from a clock that went back: it counts from now on (K8), or from
when it is seen again, when memory is out: that may not fail those who only ask.

Needs
  nowUs, nowText  from time
  packRecord      from record
Gives
  remainingUs(key, fields)  microseconds, 0 or less when it has ended
]]
local function remainingUs(key, fields)
  local lengthUs = tonumber(fields.length) or 0
  local leftUs = (tonumber(fields.leased) or 0) + lengthUs - nowUs
  if leftUs > lengthUs then
    fields.leased = nowText
    redis.pcall("SET", key, packRecord(fields), "KEEPTTL")
    return lengthUs
  end
  return leftUs
end
