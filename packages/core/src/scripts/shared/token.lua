--[[
token: the next token or generation, max(last + 1, now in microseconds), as text of 16 digits (K5).

Needs
  nowText  from time
Gives
  nextToken(last)  last is a token's text, or false when none is remembered
]]
local function nextToken(last)
  if last and last >= nowText then
    return string.format("%.0f", last + 1)
  end
  return nowText
end
