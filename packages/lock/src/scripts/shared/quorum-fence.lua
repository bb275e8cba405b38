--[[
quorum-fence: the highest token that this node of a quorum has proposed or confirmed: format "1", then the token.

Needs
  fence, nowText
  retentionMs  how long the key outlives its token
Gives
  fenced           the token, or false
  newerFormat      the record's format when this version cannot read it, or false
  remember(token)  stores one
]]
local remembered = redis.call("GET", fence)
local newerFormat = remembered and string.sub(remembered, 1, 1) ~= "1" and string.sub(remembered, 1, 8)
local fenced = remembered and string.sub(remembered, 2)

local function remember(number)
  local keepUs = number > nowText and number or nowText
  redis.call("SET", fence, "1" .. number, "PXAT", string.format("%.0f", math.ceil(keepUs / 1000) + retentionMs))
end
