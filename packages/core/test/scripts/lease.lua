--[[
lease: takes a lease unless another owner has it; one that would last longer than its own length is cut to its length from first sight (K8).

KEYS
  lease  HASH  owner, endUs, lengthUs
ARGV
  notAfterUs  bound in server time
  owner       who wants it
  leaseMs     how long
REPLIES
  {"granted", endUs}
  {"held", leftUs}       somebody else has it
  {"too-late", nowText}  nothing was done
]]
local lease = KEYS[1]
local notAfterUs, owner, leaseMs = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
-- @include time
-- @include bound
local known = redis.call("HMGET", lease, "owner", "endUs", "lengthUs")
if known[1] and known[1] ~= owner then
  local leftUs, lengthUs = known[2] - nowUs, tonumber(known[3])
  if leftUs > lengthUs then
    leftUs = lengthUs
    redis.call("HSET", lease, "endUs", string.format("%.0f", nowUs + lengthUs))
  end
  if leftUs > 0 then
    return { "held", string.format("%.0f", leftUs) }
  end
end
local endText = string.format("%.0f", nowUs + leaseMs * 1000)
redis.call("HSET", lease, "owner", owner, "endUs", endText, "lengthUs", string.format("%.0f", leaseMs * 1000))
return { "granted", endText }
