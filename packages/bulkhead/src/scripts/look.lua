--[[
look: what the processes know about a dependency together.

KEYS
  state  HASH  as in open
ARGV
REPLIES
  {"open", token, leftUs}    it is open; 0 left means that it waits for a probe
  {"closed", token}          it is well; token "0" when nobody has ever opened it
  {"newer-format", format}   the record is of a newer version
]]
local state = KEYS[1]

-- @include time
-- @include breaker
if newerFormat then
  return { "newer-format", newerFormat }
end
if word == "open" then
  return { "open", lastToken, leftUs }
end
return { "closed", lastToken or "0" }
