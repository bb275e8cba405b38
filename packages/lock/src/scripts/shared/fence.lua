--[[
fence: says whether a token is stale at this resource, and remembers the highest one.

The fence is a text: format "1", then the token. It lives until the token as a time is `guardRetentionMs` old; from then on any token
that it would refuse is refused for its age, so that a guard which forgot accepts no zombie. Its end never moves back: a guard with a longer
memory that has let something through relies on it.

Needs
  fence, nowUs, nowText
  token             text of 16 digits
  guardRetentionMs  number
Gives
  stale()    the reply that refuses the token, or false
  advance()  remembers it as the highest
]]
local fenced = redis.call("GET", fence)
local oldestUs = string.format("%016.0f", nowUs - guardRetentionMs * 1000)

local function stale()
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  local highest = fenced and string.sub(fenced, 2)
  if highest and highest > token then
    return { "stale", highest }
  end
  if token < oldestUs then
    return { "too-old", oldestUs }
  end
  return false
end

local function advance()
  local keepUs = token > nowText and token or nowText
  local endMs = math.ceil(keepUs / 1000) + guardRetentionMs
  if fenced then
    endMs = math.max(endMs, math.floor(nowUs / 1000) + redis.call("PTTL", fence))
  end
  redis.call("SET", fence, "1" .. token, "PXAT", string.format("%.0f", endMs))
end
