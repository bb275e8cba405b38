--[[
reset-fence: makes a resource forget its highest token. For operators, after the lock's server lost its tokens and its clock went back.

KEYS
  fence  STRING  the highest token of the resource
ARGV
  notAfterUs  bound in server time (K1)
REPLIES
  {"reset", highest}  the token that was forgotten
  {"absent"}          there was none
  {"too-late", now}   nothing was done
]]
local fence = KEYS[1]
local notAfterUs = tonumber(ARGV[1])

-- @include time
-- @include bound
local fenced = redis.call("GET", fence)
if not fenced then
  return { "absent" }
end
redis.call("DEL", fence)
return { "reset", string.sub(fenced, 2) }
