--[[
reset-fence: makes a resource forget its highest token. For operators, after the lock's server lost its tokens and its clock went back. A repeat
of the same operation gets the first answer, and leaves alone what a later holder has written since (K1).

KEYS
  fence  STRING  the highest token of the resource
  first  STRING  the token that this operation made it forget, or ""
ARGV
  notAfterUs      bound in server time (K1)
  repeatWithinMs  how long the first answer is remembered
REPLIES
  {"reset", highest}   the token that was forgotten
  {"absent"}           there was none
  {"newer-format", n}  the fence is of a newer version
  {"too-late", now}    nothing was done
]]
local fence, first = KEYS[1], KEYS[2]
local notAfterUs, repeatWithinMs = tonumber(ARGV[1]), ARGV[2]

-- @include time
-- @include bound
local highest = redis.call("GET", first)
if not highest then
  local fenced = redis.call("GET", fence)
  if fenced and string.sub(fenced, 1, 1) ~= "1" then
    return { "newer-format", string.sub(fenced, 1, 8) }
  end
  highest = string.sub(fenced or "", 2)
  -- Also where there is none: after it the next write passes when memory is out (K3).
  redis.call("DEL", fence)
  redis.call("SET", first, highest, "PX", repeatWithinMs)
end
if highest == "" then
  return { "absent" }
end
return { "reset", highest }
