--[[
lease-trusting: lease that believes the stored end, to show how long a clock that went back locks everybody out.

KEYS
  lease  HASH  owner, endUs, lengthUs
ARGV
  notAfterUs  bound in server time
  owner       who wants it
  leaseMs     how long
REPLIES
  {"granted", endUs}
  {"held", leftUs}  somebody else has it
]]
local lease = KEYS[1]
local owner, leaseMs = ARGV[2], tonumber(ARGV[3])
-- @include time
local known = redis.call("HMGET", lease, "owner", "endUs")
if known[1] and known[1] ~= owner and tonumber(known[2]) > nowUs then
  return { "held", string.format("%.0f", known[2] - nowUs) }
end
local endText = string.format("%.0f", nowUs + leaseMs * 1000)
redis.call("HSET", lease, "owner", owner, "endUs", endText, "lengthUs", string.format("%.0f", leaseMs * 1000))
return { "granted", endText }
